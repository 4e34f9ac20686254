"""Tokenizing: special tokens, and long texts segment by segment without changing a token."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, processors

from manifest import BundleError
from runtime.errors import InferenceFailed
from runtime.text.packed import unpack
from runtime.text.tokenizer import SEGMENT_CHARACTERS, SHORT_TEXT_CHARACTERS, Tokenizer
from tests.support.models.tokenizer_kinds import KINDS, around, bare_wordpiece, wild_texts, wordpiece, write

SMALL_SEGMENT = 10


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory) -> tuple[Tokenizer, FastTokenizer]:
    """Ours with small segments, from a file with padding and truncation, and the library's without them."""
    fast = KINDS[request.param]()
    fast.enable_padding(length=64)
    fast.enable_truncation(3)
    path = write(fast, tmp_path_factory.mktemp("tokenizer"))
    fast.no_padding()
    fast.no_truncation()
    return Tokenizer(path, SMALL_SEGMENT), fast


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer whose tokens stand for every character."""
    return write(KINDS["byte bpe"](), tmp_path_factory.mktemp("tokenizer"))


@settings(max_examples=100, deadline=None)
@given(wild_texts)
@example("the tea " * (SHORT_TEXT_CHARACTERS // 8))
@example("the tea " * (SHORT_TEXT_CHARACTERS // 8) + ".")
def test_a_text_gives_the_ids_of_the_original_whole(pair, text: str):
    ours, fast = pair
    assert ours.encode(text) == fast.encode(text).ids


@settings(deadline=None)
@given(texts=st.lists(wild_texts, max_size=5))
@example(texts=["", "the", "the " * 1000])
def test_texts_together_have_the_ids_that_each_has_alone(pair, texts: list[str]):
    ours, _ = pair
    assert list(map(unpack, ours.encode_all(texts))) == [ours.encode(text) for text in texts]


@settings(max_examples=200, deadline=None)
@given(wild_texts)
@example("")
@example(" ")
@example("the tea " * 200)
@example("the\ntea\n\n" * 200)
@example("漢字。\n漢字、" * 100)
@example("1234567 1234567,1234567\n" * 50)
@example("x" + "\u0301" * 200 + "x" + "\0" * 200 + "x" + "\x1f" * 200 + "x")
@example("x" + "1" * 200 + "121" + "." * 200 + "漢" * 200 + "か" * 200)
@example("tea, \u0301tea <mask> tea\r\n\r\n. tea." * 20)
def test_segments_together_have_the_ids_of_the_whole_text(pair, text: str):
    ours, fast = pair
    segments = list(ours.segments(text))
    assert [n for segment in segments for n in segment.ids] == fast.encode(text, add_special_tokens=False).ids
    assert all(len(segment.ids) == len(segment.spans) for segment in segments)


@settings(max_examples=100, deadline=None)
@given(wild_texts)
def test_spans_count_from_the_whole_texts_start(pair, text: str):
    ours, fast = pair
    spans = [span for segment in ours.segments(text) for span in segment.spans]
    untrimmed = FastTokenizer.from_str(fast.to_str())
    untrimmed.post_processor = None
    assert spans == untrimmed.encode(text, add_special_tokens=False).offsets


def test_prose_is_split_into_segments_by_tokenizers_of_every_kind(pair, request):
    ours, _ = pair
    count = len(list(ours.segments("the tea and the thing, " * 50)))
    if "bpe with bytes and prefix" in request.node.name:  # it prepends a space to any segment, so that no split is safe
        assert count == 1
    else:
        assert count > 50


@pytest.mark.parametrize("kind", ["wordpiece", "byte bpe", "byte bpe with suffix", "bpe with bytes"])
def test_prose_without_white_space_is_split_before_punctuation(kind: str, tmp_path: Path):
    ours = Tokenizer(write(KINDS[kind](), tmp_path), 100)
    assert len(list(ours.segments("漢字か、漢漢か字。" * 100))) > 8


@pytest.mark.parametrize("text", ["." * 1000, "漢" * 1000, ".)" * 500, "漢。" * 500])
def test_a_row_of_symbols_that_are_tokens_of_their_own_is_split(text: str, tmp_path: Path):
    ours = Tokenizer(write(wordpiece(), tmp_path), 100)
    assert len(list(ours.segments(text))) > 8


def test_segments_are_tokenized_as_they_are_asked_for(tmp_path: Path):
    ours = Tokenizer(write(wordpiece(), tmp_path))
    text = "the tea " * 125_000
    first = next(ours.segments(text))
    assert SEGMENT_CHARACTERS // 2 < first.spans[-1][1] <= SEGMENT_CHARACTERS


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("x1.,漢\u0301"), min_size=100, max_size=600))
@example("x" * 500)
def test_a_stretch_without_a_safe_split_is_split_in_the_end_and_nothing_is_lost(byte_level: Path, text: str):
    segments = list(Tokenizer(byte_level, SMALL_SEGMENT, max_segment_characters=40).segments(text))
    spans = [span for segment in segments for span in segment.spans]
    assert {n for start, end in spans for n in range(start, end)} == set(range(len(text)))
    assert max(segment.spans[-1][1] - segment.spans[0][0] for segment in segments) <= 40


def test_a_text_without_a_safe_split_is_one_segment(tmp_path: Path):
    ours = Tokenizer(write(wordpiece(), tmp_path))
    assert [len(segment.ids) for segment in ours.segments("x" * 100_000)] == [1]


@pytest.mark.parametrize(
    ("kind", "prefix", "suffix"),
    [
        ("wordpiece", (2,), (3,)),
        ("wordpiece without specials", (), ()),
        ("unigram", (0,), (1,)),
        ("unigram with suffix", (), (1,)),
        ("byte bpe", (0,), (1,)),
        ("byte bpe with suffix", (), (1,)),
        ("bpe with bytes", (2,), (1,)),
    ],
)
def test_special_tokens_around_a_text_are_found(kind: str, prefix: tuple, suffix: tuple, tmp_path: Path):
    ours = Tokenizer(write(KINDS[kind](), tmp_path))
    assert (ours.prefix, ours.suffix) == (prefix, suffix)


def test_several_special_tokens_on_a_side_are_found(tmp_path: Path):
    fast = bare_wordpiece()
    fast.post_processor = around("[CLS] [CLS] $A [PAD] [SEP]", **{"[CLS]": 2, "[SEP]": 3, "[PAD]": 0})
    ours = Tokenizer(write(fast, tmp_path))
    assert (ours.prefix, ours.suffix) == ((2, 2), (0, 3))


def test_a_post_processor_that_does_more_than_surround_is_refused(tmp_path: Path):
    fast = bare_wordpiece()
    fast.post_processor = processors.Sequence(
        [around("$A [SEP]", **{"[SEP]": 3}), around("[CLS] $A $A", **{"[CLS]": 2})]
    )
    with pytest.raises(BundleError, match=r"tokenizer.json has a post-processor that does more than put the same"):
        Tokenizer(write(fast, tmp_path))


def test_a_file_that_is_not_a_tokenizer_is_named(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(BundleError, match="tokenizer.json is not a tokenizer"):
        Tokenizer(path)


def test_a_tokenizer_that_fails_on_plain_words_is_named(tmp_path: Path):
    fast = FastTokenizer(models.WordLevel({"known": 0}, unk_token="[UNK]"))
    with pytest.raises(BundleError, match=r"tokenizer.json cannot tokenize plain words: tokenizers failed: "):
        Tokenizer(write(fast, tmp_path))


def test_a_text_that_the_library_cannot_tokenize_is_our_fault_not_a_crash(tmp_path: Path):
    """An unknown word without an unknown token; the words of the sample texts are known."""
    words = {word: n for n, word in enumerate(["a", "Two words, 12 signs."])}
    ours = Tokenizer(write(FastTokenizer(models.WordLevel(words, unk_token="[UNK]")), tmp_path))
    with pytest.raises(InferenceFailed, match="tokenizers failed: "):
        ours.encode("unknown")
    with pytest.raises(InferenceFailed, match="tokenizers failed: "):
        list(ours.segments("unknown"))
