"""The check before ready: golden texts, floors, and what is said when one is missed."""

from __future__ import annotations

import numpy as np
import pytest

from manifest import Golden, GoldenText, Graph, Layout, Pooling, Task, TextModel
from runtime.embed_request import EmbedRequest
from runtime.errors import GoldenMismatch
from runtime.golden import check_golden, cosine_of

MODEL = TextModel(
    architecture="bert",
    dim=2,
    max_tokens=8,
    pooling=Pooling.CLS,
    normalize=False,
    prompts={"query": "q: "},
    default_prompt=None,
    tasks={"query": "query"},
    graphs={"tokens": Graph("model.onnx", ("input_ids",), "last_hidden_state", Layout.PADDED)},
)


def golden(vector: tuple[float, ...], floor: float, task: Task | None = None) -> Golden:
    return Golden((GoldenText("hello", task, vector, floor),))


def test_vectors_at_or_above_the_floor_pass():
    check_golden(golden((2.0, 0.0), 1.0), MODEL, lambda request: np.array([1, 0], dtype=np.float32))


def test_a_vector_below_the_floor_is_named_with_its_figure():
    with pytest.raises(GoldenMismatch, match=r"'hello' .*cosine of 0.707107 .*at least 0.800000"):
        check_golden(golden((1.0, 0.0), 0.8), MODEL, lambda request: np.array([1, 1], dtype=np.float32))


@pytest.mark.parametrize("vector", [[1, 0, 0], [np.nan, 0], [0, 0]])
def test_a_vector_of_another_shape_not_finite_or_zero_is_a_miss(vector):
    with pytest.raises(GoldenMismatch):
        check_golden(golden((1.0, 0.0), 0.5), MODEL, lambda request: np.array(vector, dtype=np.float32))


def test_the_texts_are_embedded_as_a_request_with_their_task_would_be():
    seen: list[EmbedRequest] = []

    def embed(request: EmbedRequest) -> np.ndarray:
        seen.append(request)
        return np.array([1, 0], dtype=np.float32)

    check_golden(golden((1.0, 0.0), 0.9, Task.QUERY), MODEL, embed)
    assert seen == [EmbedRequest("hello", "q: ", Pooling.CLS, None)]


def test_two_zero_vectors_agree():
    assert cosine_of(np.zeros(2, np.float32), np.zeros(2, np.float32)) == 1.0
