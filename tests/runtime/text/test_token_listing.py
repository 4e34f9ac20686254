"""The tokens of a text are listed segment by segment, as they are in the text as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers, processors

from runtime.batches.each_text import PerToken
from runtime.batches.request import Group
from runtime.errors import InvalidRequest
from runtime.scheduling.job import Step
from runtime.text.token_listing import ListedToken, Listing, list_tokens
from runtime.text.tokenizer import Tokenizer

WORDS = ["[CLS]", "[SEP]", "[UNK]", "river", "stone", "ask"]


@dataclass(frozen=True)
class Like:
    prompt: str = ""


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    """Its segments have two or three words."""
    fast = FastTokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    fast.save(str(tmp_path / "tokenizer.json"))
    return Tokenizer(tmp_path / "tokenizer.json", segment_characters=16, max_segment_characters=64)


def listed(tokenizer: Tokenizer, text: str, prompt: str = "", special: bool = True, most: int = 1000):
    """All tokens, and how many pauses there were."""
    found: list[ListedToken] = []

    def write(tokens: list[ListedToken]) -> bytes:
        found.extend(tokens)
        return b"%d" % len(tokens)

    group = Group([text], ["inputs[3]"], Listing(Like(prompt), special))
    result, pauses = driven(list_tokens(tokenizer, group, write, most))
    assert result.tokens == len(found) == sum(map(int, result.value))
    return found, pauses


def driven(steps: Generator[Step, None, PerToken]) -> tuple[PerToken, int]:
    """The result, and how many pauses there were."""
    for pauses in itertools.count():
        try:
            assert next(steps).run is None
        except StopIteration as stop:
            return stop.value, pauses
    raise AssertionError


def test_a_short_text_has_one_pause_and_its_special_tokens(tokenizer: Tokenizer):
    assert listed(tokenizer, "river x") == (
        [
            ListedToken(0, "[CLS]", True, None, None),
            ListedToken(3, "river", False, 0, 5),
            ListedToken(2, "x", False, 6, 7),
            ListedToken(1, "[SEP]", True, None, None),
        ],
        1,
    )


def test_the_prompt_is_tokenized_with_the_text(tokenizer: Tokenizer):
    found, _ = listed(tokenizer, "river", prompt="ask ", special=False)
    assert found == [ListedToken(5, "ask", False, 0, 3), ListedToken(3, "river", False, 4, 9)]


def test_an_empty_text_has_special_tokens_alone(tokenizer: Tokenizer):
    found, _ = listed(tokenizer, "")
    assert [each.special for each in found] == [True, True]
    assert listed(tokenizer, "", special=False)[0] == []


def test_a_long_text_pauses_after_each_segment_and_loses_nothing(tokenizer: Tokenizer):
    text = "river stone " * 20
    found, pauses = listed(tokenizer, text, special=False)
    assert [each.text for each in found] == text.split()
    assert all(text[each.start : each.stop] == each.text for each in found)
    assert pauses > 5


def test_a_text_of_more_tokens_than_there_is_memory_for_ends_early(tokenizer: Tokenizer):
    assert len(listed(tokenizer, "river " * 20, special=False, most=20)[0]) == 20
    with pytest.raises(InvalidRequest, match=r"^inputs\[3\] must have at most 20 tokens in all"):
        listed(tokenizer, "river " * 10_000, most=20)
