"""The texts on which a server proves itself: what is among them, and one that fills the window."""

from __future__ import annotations

import unicodedata

import pytest
from tokenizers import Tokenizer

from build.golden_texts import Candidate, choose_golden_texts, fill_window
from manifest import Task
from tests import tiny_models
from tests.tiny_models import TOKENIZERS

LIMITS = (3, 4, 8, 13, 64, 128, 512)


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request, tmp_path_factory) -> Tokenizer:
    return TOKENIZERS[request.param](tmp_path_factory.mktemp("tokenizer")).backend_tokenizer


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory) -> Tokenizer:
    return tiny_models.TOKENIZERS["bert"](tmp_path_factory.mktemp("tokenizer")).backend_tokenizer


@pytest.mark.parametrize("limit", LIMITS)
def test_a_text_fills_the_window_and_does_not_pass_it(tokenizer: Tokenizer, limit: int):
    assert len(tokenizer.encode(fill_window(tokenizer, limit)).ids) == limit


@pytest.mark.parametrize("limit", [1, 2])
def test_a_window_of_special_tokens_alone_is_filled_by_nothing(tokenizer: Tokenizer, limit: int):
    assert fill_window(tokenizer, limit) == ""


def test_the_texts_are_the_empty_one_two_scripts_and_a_full_window(wordpiece: Tokenizer):
    candidates = choose_golden_texts(wordpiece, 64, {})
    texts = [candidate.text for candidate in candidates]
    assert {candidate.task for candidate in candidates} == {None}
    assert "" in texts
    assert any(text and text.isascii() for text in texts)
    assert any("CJK" in unicodedata.name(letter, "") for text in texts for letter in text)
    assert max(len(wordpiece.encode(text).ids) for text in texts) == 64


def test_each_task_with_a_prompt_has_a_text(wordpiece: Tokenizer):
    plain = choose_golden_texts(wordpiece, 64, {})
    more = choose_golden_texts(wordpiece, 64, {"query": "query", "passage": "document"})
    assert more[: len(plain)] == plain
    assert [candidate.task for candidate in more[len(plain) :]] == [Task.PASSAGE, Task.QUERY]
    assert all(isinstance(candidate, Candidate) and candidate.text for candidate in more[len(plain) :])
