"""The texts on which a server proves itself: what is among them, and one that fills the window."""

from __future__ import annotations

import dataclasses
import unicodedata

import pytest
from tokenizers import Tokenizer

from build.fidelity.golden import PLAIN, choose_golden_texts, fill_window
from build.fidelity.requests import Candidate
from manifest import Task, TextModel
from tests.support.bundles.text_models import a_text_model, an_encoder, two_routes
from tests.support.models import tiny_models
from tests.support.models.tiny_models import TOKENIZERS

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
    special = len(tokenizer.encode("").ids)
    assert fill_window(tokenizer, min(limit, special)) == ""


def chosen(tokenizer: Tokenizer, model: TextModel) -> list[Candidate]:
    return choose_golden_texts(model, lambda name: tokenizer)


def with_window(max_tokens: int) -> TextModel:
    return a_text_model(encoders={"text": an_encoder(max_tokens=max_tokens)})


def test_the_texts_are_the_empty_one_two_scripts_and_a_full_window(wordpiece: Tokenizer):
    candidates = chosen(wordpiece, with_window(64))
    texts = [candidate.text for candidate in candidates]
    assert {(candidate.task, candidate.prompt_name) for candidate in candidates} == {(None, None)}
    assert "" in texts
    assert any(text and text.isascii() for text in texts)
    assert any("CJK" in unicodedata.name(letter, "") for text in texts for letter in text)
    assert max(len(wordpiece.encode(text).ids) for text in texts) == 64


def test_a_window_of_thousands_of_tokens_is_not_filled(wordpiece: Tokenizer):
    """A server would spend its start on that one text."""
    lengths = [len(wordpiece.encode(candidate.text).ids) for candidate in chosen(wordpiece, with_window(8192))]
    assert max(lengths) == 512


def test_each_prompt_has_a_text_and_each_task_with_a_prompt(wordpiece: Tokenizer):
    plain = chosen(wordpiece, with_window(64))
    prompts = {"query": "q: ", "document": "d: ", "sts": "s: "}
    model = dataclasses.replace(with_window(64), prompts=prompts, tasks={"query": "query", "passage": "document"})
    more = chosen(wordpiece, model)
    assert more[: len(plain)] == plain
    added = [(candidate.task, candidate.prompt_name) for candidate in more[len(plain) :]]
    assert added == [(None, "document"), (None, "query"), (None, "sts"), (Task.PASSAGE, None), (Task.QUERY, None)]
    assert all(candidate.text for candidate in more[len(plain) :])


def test_each_route_of_a_model_has_its_own_texts(wordpiece: Tokenizer):
    candidates = chosen(wordpiece, two_routes(prompts={"query": "q: "}))
    assert {candidate.task for candidate in candidates} == set(Task)
    for task in Task:
        assert {"", PLAIN} < {candidate.text for candidate in candidates if candidate.task is task}
