"""The check before ready: golden texts, floors, and what is said when one is missed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from manifest import Golden, GoldenText, PoolingMode, Task
from runtime.errors import GoldenMismatch
from runtime.golden import check_golden, cosine_of
from runtime.text.request import EmbedRequest
from tests.support.bundles.text_models import a_text_model

MODEL = a_text_model(PoolingMode.CLS, dim=2, prompts={"query": "q: ", "other": "o: "}, tasks={"query": "query"})


def golden(vector: tuple[float, ...], floor: float, task: Task | None = None, prompt_name: str | None = None) -> Golden:
    return Golden((GoldenText("hello", task, prompt_name, vector, floor),))


def check(golden: Golden, embed: Callable[[EmbedRequest], Any]) -> None:
    check_golden(golden, MODEL, lambda request: np.asarray(embed(request), dtype=np.float32), lambda request: True)


def test_vectors_at_or_above_the_floor_pass():
    check(golden((2.0, 0.0), 1.0), lambda request: [1, 0])


def test_a_vector_below_the_floor_is_named_with_its_figure():
    with pytest.raises(GoldenMismatch, match=r"'hello' .*cosine of 0.707107 .*at least 0.800000"):
        check(golden((1.0, 0.0), 0.8), lambda request: [1, 1])


@pytest.mark.parametrize("vector", [[1, 0, 0], [np.nan, 0], [0, 0]])
def test_a_vector_of_another_shape_not_finite_or_zero_is_a_miss(vector):
    with pytest.raises(GoldenMismatch):
        check(golden((1.0, 0.0), 0.5), lambda request: vector)


def test_the_texts_are_embedded_as_a_request_with_their_task_would_be():
    seen: list[EmbedRequest] = []

    def embed(request: EmbedRequest) -> np.ndarray:
        seen.append(request)
        return np.array([1, 0], dtype=np.float32)

    check(golden((1.0, 0.0), 0.9, Task.QUERY), embed)
    check(golden((1.0, 0.0), 0.9, None, "other"), embed)
    cls = (PoolingMode.CLS,)
    assert seen == [
        EmbedRequest("hello", "text", "q: ", cls, 0, None),
        EmbedRequest("hello", "text", "o: ", cls, 0, None),
    ]


def test_a_text_that_does_not_fit_into_the_window_here_is_passed_over():
    check_golden(golden((1.0, 0.0), 0.9), MODEL, lambda request: pytest.fail("embedded"), lambda request: False)


def test_a_prompt_that_the_bundle_does_not_have_is_a_miss_by_its_name():
    with pytest.raises(GoldenMismatch, match="'hello' wants the prompt lost, and the bundle has none of that name"):
        check(golden((1.0, 0.0), 0.9, None, "lost"), lambda request: pytest.fail("embedded"))


def test_two_zero_vectors_agree():
    assert cosine_of(np.zeros(2, np.float32), np.zeros(2, np.float32)) == 1.0
