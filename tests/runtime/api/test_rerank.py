"""The endpoint of rerankers: activations, raw scores, and scores that are not finite."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import numpy as np
import pytest

from manifest import Activation
from runtime.api.rerank import RerankEndpoint
from runtime.api.rerank_forms import parse_rerank
from runtime.errors import InferenceFailed
from runtime.rerank.request import RerankRequest

LOGITS = [-2.0, 0.0, 3.5]


def answer(logits: list[float], activation: Activation = Activation.SIGMOID, **fields: Any) -> Any:
    async def score(request: RerankRequest, deadline: float | None) -> list[float]:
        return logits

    endpoint = RerankEndpoint(score, lambda query, document: document != "long", activation, parse_rerank)
    body = {"query": "q", **(fields or {"documents": ["a"] * len(logits)})}
    return json.loads(asyncio.run(endpoint.answer(endpoint.parse(json.dumps(body).encode()), None)))


def scores(answered: Any) -> list[float]:
    return [entry["score"] for entry in answered["scores"]]


def test_the_models_activation_makes_scores_of_logits():
    expected = [1 / (1 + math.exp(-logit)) for logit in LOGITS]
    assert scores(answer(LOGITS)) == pytest.approx(expected, rel=1e-6)
    assert scores(answer(LOGITS, Activation.IDENTITY)) == LOGITS
    assert scores(answer(LOGITS, Activation.TANH)) == pytest.approx(np.tanh(LOGITS).tolist(), rel=1e-6)


def test_raw_scores_are_logits():
    assert scores(answer(LOGITS, documents=["a", "b", "c"], raw_scores=True)) == LOGITS
    ranking = answer(LOGITS, texts=["a", "b", "c"], raw_scores=True)
    assert ranking == [{"index": 2, "score": 3.5}, {"index": 1, "score": 0.0}, {"index": 0, "score": -2.0}]


@pytest.mark.parametrize("logit", [-1e30, 1e30])
def test_large_logits_have_finite_scores(logit: float):
    assert scores(answer([logit])) == [float(logit > 0)]


@pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf, 1e39])
def test_a_score_that_is_not_finite_is_no_answer(logit: float):
    with pytest.raises(InferenceFailed, match="a score that is not finite"):
        answer([0.5, logit], Activation.IDENTITY)


def test_a_request_fits_if_all_its_pairs_do():
    async def score(request: RerankRequest, deadline: float | None) -> list[float]:
        raise AssertionError

    endpoint = RerankEndpoint(score, lambda query, document: document != "long", Activation.SIGMOID, parse_rerank)
    for documents, fits in ((["a", "b"], True), (["a", "long"], False), ([], True)):
        body = json.dumps({"query": "q", "documents": documents}).encode()
        assert endpoint.fits(endpoint.parse(body)) is fits


def test_the_memory_of_a_request_is_that_of_its_texts():
    endpoint = RerankEndpoint(None, None, Activation.SIGMOID, parse_rerank)  # type: ignore[arg-type]
    body = json.dumps({"query": "q" * 1000, "documents": ["d" * 2000] * 2}).encode()
    assert 5000 <= endpoint.size(endpoint.parse(body)) < 6000
