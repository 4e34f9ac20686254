"""The calibration texts, and the token ids that are made from them."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from build.fidelity.requests import heldout_texts
from build.quantization.calibration_texts import (
    CALIBRATION_FILE,
    MAX_TOKENS,
    MAX_TOKENS_PER_TEXT,
    calibration_ids,
    calibration_texts,
)

TEXTS = 320
RUN = 5


def a_tokenizer() -> Tokenizer:
    """Return a tokenizer with a token for each word of the calibration texts, and for two prompts."""
    splitter = pre_tokenizers.WhitespaceSplit()
    words = {word for text in calibration_texts() for word, _ in splitter.pre_tokenize_str(text)}
    names = ["[UNK]", "query:", "passage:", *sorted(words)]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = splitter
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return a_tokenizer()


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def runs_of(texts: list[str]) -> set[tuple[str, ...]]:
    """Return every run of five words."""
    lists = [words_of(text) for text in texts]
    return {tuple(words[n : n + RUN]) for words in lists for n in range(len(words) - RUN + 1)}


def test_there_are_320_different_texts_and_none_is_empty():
    texts = calibration_texts()
    assert len(texts) == len(set(texts)) == TEXTS
    assert all(text.strip() for text in texts)


def test_lines_end_at_line_feeds_alone():
    assert calibration_texts() == CALIBRATION_FILE.read_bytes().decode().removesuffix("\n").split("\n")


def test_the_texts_are_of_many_lengths():
    words = sorted(len(text.split()) for text in calibration_texts())
    assert words[0] <= 3
    assert words[-1] >= 80


def test_the_texts_are_in_many_scripts():
    letters = {letter for text in calibration_texts() for letter in text if letter.isalpha()}
    scripts = {unicodedata.name(letter).split()[0] for letter in letters}
    assert scripts >= {"LATIN", "CYRILLIC", "GREEK", "ARABIC", "CJK", "HIRAGANA", "HANGUL", "DEVANAGARI"}


def test_no_text_is_a_held_out_one():
    """Otherwise a bundle would be measured on what it was made for."""
    assert not {text.casefold().strip() for text in calibration_texts()} & {
        text.casefold().strip() for text in heldout_texts()
    }


def test_no_five_words_in_a_row_are_in_a_held_out_text():
    assert len(runs_of(calibration_texts())) > 1000
    assert not runs_of(calibration_texts()) & runs_of(heldout_texts())


def test_texts_are_taken_in_order_until_there_are_enough_tokens(tokenizer: Tokenizer):
    found = calibration_ids(tokenizer, [], max_tokens=512)
    expected = [tokenizer.encode(text).ids[:MAX_TOKENS_PER_TEXT] for text in calibration_texts()[: len(found)]]
    assert [ids.tolist() for ids in found] == expected
    assert all(ids.dtype == np.int64 and ids.ndim == 1 for ids in found)
    following = calibration_texts()[len(found) : len(found) + 1]
    taken = sum(map(len, found))
    assert taken <= MAX_TOKENS
    assert not following or taken + len(tokenizer.encode(following[0]).ids[:MAX_TOKENS_PER_TEXT]) > MAX_TOKENS


def characters() -> Tokenizer:
    """Return a tokenizer with a token for each character, so that there are more tokens than the limit."""
    letters = sorted({letter for text in calibration_texts() for letter in text})
    tokenizer = Tokenizer(models.WordLevel({letter: n for n, letter in enumerate(["[UNK]", *letters])}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return tokenizer


def test_all_texts_together_have_a_limited_number_of_tokens():
    found = calibration_ids(characters(), [], max_tokens=512)
    assert max(map(len, found)) == MAX_TOKENS_PER_TEXT
    assert MAX_TOKENS - MAX_TOKENS_PER_TEXT < sum(map(len, found)) <= MAX_TOKENS
    assert len(found) < TEXTS


@pytest.mark.parametrize("limit", [1, 8, MAX_TOKENS_PER_TEXT, 10 * MAX_TOKENS_PER_TEXT])
def test_a_text_is_truncated_at_the_models_limit_or_at_ours(limit: int):
    longest = max(map(len, calibration_ids(characters(), [], limit)))
    assert longest == min(limit, MAX_TOKENS_PER_TEXT)


def test_texts_have_no_prompt_and_each_of_the_models_in_turn(tokenizer: Tokenizer):
    found = calibration_ids(tokenizer, ["query: ", "passage: "], max_tokens=512)
    query, passage = tokenizer.token_to_id("query:"), tokenizer.token_to_id("passage:")
    assert len(found) > 200
    for number, (ids, text) in enumerate(zip(found, calibration_texts(), strict=False)):
        prompt = ([], [query], [passage])[number % 3]
        assert ids.tolist() == [*prompt, *tokenizer.encode(text).ids][:MAX_TOKENS_PER_TEXT]


def test_a_prompt_counts_among_the_tokens_of_its_text(tokenizer: Tokenizer):
    found = calibration_ids(tokenizer, ["query: "], max_tokens=4)
    assert {len(ids) for ids in found[1::2]} <= {2, 3, 4}
    assert all(ids[0] == tokenizer.token_to_id("query:") for ids in found[1::2])


def only(letter: str) -> Tokenizer:
    """Return a tokenizer that ignores all letters but one, as those without an unknown token do."""
    return Tokenizer(models.BPE({letter: 0}, []))


def test_texts_without_any_token_are_left_out():
    found = calibration_ids(only("q"), [], max_tokens=512)
    assert 0 < len(found) < TEXTS
    assert [len(ids) for ids in found] == [text.count("q") for text in calibration_texts() if "q" in text]


def test_there_may_be_no_token_at_all():
    assert calibration_ids(only("\uffff"), [], max_tokens=512) == []
