"""The requests that a server checks itself on: what is among them, and one that fills the window."""

from __future__ import annotations

import dataclasses
import json
import unicodedata

import numpy as np
import pytest
from tokenizers import Tokenizer

from build.fidelity.golden import PLAIN, choose_golden_requests, fill_window, golden_request
from build.fidelity.requests import VectorRequest
from manifest import Task, TextModel, Tolerance
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


def chosen(tokenizer: Tokenizer, model: TextModel) -> list[VectorRequest]:
    return choose_golden_requests(model, lambda name: tokenizer)


def with_window(max_tokens: int) -> TextModel:
    return a_text_model(encoders={"text": an_encoder(max_tokens=max_tokens)})


def test_the_texts_are_the_empty_one_two_scripts_and_a_full_window(wordpiece: Tokenizer):
    requests = chosen(wordpiece, with_window(64))
    texts = [request.text for request in requests]
    assert {(request.task, request.prompt_name) for request in requests} == {(None, None)}
    assert "" in texts
    assert any(text and text.isascii() for text in texts)
    assert any("CJK" in unicodedata.name(letter, "") for text in texts for letter in text)
    assert max(len(wordpiece.encode(text).ids) for text in texts) == 64


def test_a_window_of_thousands_of_tokens_is_not_filled(wordpiece: Tokenizer):
    """A server would spend its start on that one text."""
    lengths = [len(wordpiece.encode(request.text).ids) for request in chosen(wordpiece, with_window(8192))]
    assert max(lengths) == 512


def test_each_prompt_has_a_text_and_each_task_with_a_prompt(wordpiece: Tokenizer):
    plain = chosen(wordpiece, with_window(64))
    prompts = {"query": "q: ", "document": "d: ", "sts": "s: "}
    model = dataclasses.replace(with_window(64), prompts=prompts, tasks={"query": "query", "passage": "document"})
    more = chosen(wordpiece, model)
    assert more[: len(plain)] == plain
    added = [(request.task, request.prompt_name) for request in more[len(plain) :]]
    assert added == [(None, "document"), (None, "query"), (None, "sts"), (Task.PASSAGE, None), (Task.QUERY, None)]
    assert all(request.text for request in more[len(plain) :])


def test_each_route_of_a_model_has_its_own_texts(wordpiece: Tokenizer):
    requests = chosen(wordpiece, two_routes(prompts={"query": "q: "}))
    assert {request.task for request in requests} == set(Task)
    for task in Task:
        assert {"", PLAIN} < {request.text for request in requests if request.task is task}


def test_a_golden_request_holds_the_request_as_a_client_sends_it():
    request = golden_request(VectorRequest("hello", Task.QUERY), np.array([0.1, -2.0], np.float32), 0.99)
    assert request.route == "/vectors"
    assert json.loads(json.dumps(request.body)) == {"text": "hello", "config": {"task_type": "query"}}
    assert VectorRequest("hello").body == {"text": "hello"}
    assert request.answer == {"vector": [0.1, -2.0]}
    assert request.tolerance == Tolerance(min_cosine=0.99)
