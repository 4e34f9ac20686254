"""Words whose tokens are remembered: the ids of the whole text, and never more words than allowed."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, normalizers
from tokenizers import Tokenizer as FastTokenizer

from runtime.text.words import MAX_CHARACTERS, MAX_TOKENS, MAX_WORDS, Words, splits_at_spaces
from tests.support.models.tokenizer_kinds import KINDS, bare_wordpiece, wild_texts, wordpiece

BERT = bare_wordpiece()
SMALL = 4


class Counted:
    """Tokenizes, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, text: str) -> list[int]:
        self.asked.append(text)
        return whole(text)


def whole(text: str) -> list[int]:
    ids: list[int] = BERT.encode(text, add_special_tokens=False).ids
    return ids


@pytest.fixture(scope="module")
def words() -> Words:
    """Used by all examples of a test, so that words are known, forgotten and learned again."""
    return Words(whole, SMALL)


@settings(max_examples=300, deadline=None)
@given(st.lists(wild_texts, max_size=6).map(" ".join))
@example("")
@example(" ")
@example("  the  the ")
@example("the \u0301the e\u0301 \u0301 \u0316\u0301")
@example("the\0 the \x1f the\u00a0the\u3000the\tthe\nthe\x85the")
@example("[CLS] [SEP][UNK] the[PAD] [ PAD] [pad]")
@example("漢字 か 漢 字。 🙂 👩\u200d👩 the")
@example("İSTANBUL Σίσυφος ΟΔΟΣ ß")
@example("x" * 101 + " " + "x" * 100)
@example("the. the, the.. the.,;:!? . .. the.\u0301 .the th.e the\u0301. [SEP]. x.\0 漢字. é!")
@example("!" * 2000 + " the" + "." * 2000)
def test_the_ids_are_those_of_the_whole_text(words: Words, text: str):
    assert words.ids(text) == whole(text)
    assert words.ids(text) == whole(text), "once more, with known words"
    assert len(words) <= SMALL


def test_a_known_word_is_not_tokenized_again():
    tokenize = Counted()
    words = Words(tokenize)
    assert words.ids("the ing the") == whole("the ing the")
    assert words.ids("ing the") == whole("ing the")
    assert tokenize.asked == ["the", "ing"]


def test_a_word_before_a_mark_is_known_without_it():
    tokenize = Counted()
    words = Words(tokenize)
    assert words.ids("the ing. ing the. the,") == whole("the ing. ing the. the,")
    assert tokenize.asked == ["the", "ing", ".", ","]
    assert len(words) == len({"the", "ing", "ing.", "the.", "the,", ".", ","})


def test_one_word_more_than_allowed_forgets_the_others():
    tokenize = Counted()
    words = Words(tokenize, max_words=2)
    words.ids("a b")
    assert len(words) == 2
    words.ids("c")
    assert len(words) == 1
    words.ids("c a")
    assert tokenize.asked == ["a", "b", "c", "a"]


@pytest.mark.parametrize(
    ("word", "is_kept"),
    [
        ("the" * 10 + "é" * (MAX_CHARACTERS - 30), False),
        ("a" * MAX_TOKENS, True),
        ("a" * (MAX_TOKENS + 1), False),
        ("\u0301" * MAX_CHARACTERS, True),
        ("\u0301" * (MAX_CHARACTERS + 1), False),
    ],
)
def test_long_words_are_tokenized_each_time(word: str, is_kept: bool):
    words = Words(whole)
    assert words.ids(word) == whole(word)
    assert len(words) == is_kept


def test_a_failure_is_passed_on_and_not_remembered():
    def fail(text: str) -> list[int]:
        raise ValueError(text)

    words = Words(fail)
    with pytest.raises(ValueError, match="the"):
        words.ids("the")
    assert len(words) == 0


def test_a_word_that_is_learned_makes_room_at_the_limit():
    words = Words(whole)
    words.ids(" ".join(f"{number:x}" for number in range(MAX_WORDS)))
    assert len(words) == MAX_WORDS
    words.ids("the")
    assert len(words) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_only_tokenizers_as_berts_split_at_spaces(kind: str):
    assert splits_at_spaces(KINDS[kind]()) == (kind in SPLIT_AT_SPACES), kind


SPLIT_AT_SPACES = {kind for kind in KINDS if "wordpiece" in kind}


@pytest.mark.parametrize(
    "token",
    [
        AddedToken("<a>", lstrip=True, normalized=False),
        AddedToken("<a>", rstrip=True, normalized=False),
        AddedToken("<a>", single_word=True, normalized=False),
        AddedToken("<a>", normalized=True),
        AddedToken("<a b>", normalized=False),
        AddedToken("<a:b>", normalized=False),
    ],
    ids=["before", "after", "alone", "in lower case", "a space", "a mark"],
)
def test_a_tokenizer_with_an_added_token_that_looks_around_does_not(token: AddedToken):
    fast = wordpiece()
    assert splits_at_spaces(fast)
    fast.add_tokens([token])
    assert not splits_at_spaces(fast)


def test_a_tokenizer_with_another_normalizer_does_not():
    fast: FastTokenizer = wordpiece()
    fast.normalizer = normalizers.Sequence([normalizers.BertNormalizer(), normalizers.Replace(" t", "t")])
    assert not splits_at_spaces(fast)
