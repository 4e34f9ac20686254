"""The check before ready: golden requests, tolerances, and what is said when one is missed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from manifest import Golden, GoldenRequest, PoolingMode, Tolerance
from runtime.api.vectors import VectorsEndpoint
from runtime.errors import GoldenMismatch, InferenceFailed
from runtime.golden import check_golden, compare, cosine_of
from runtime.text.request import EmbedRequest
from tests.support.bundles.text_models import a_text_model

MODEL = a_text_model(PoolingMode.CLS, dim=2, prompts={"query": "q: ", "other": "o: "}, tasks={"query": "query"})
EXACT = Tolerance()
CLS = (PoolingMode.CLS,)


def golden_request(vector: list[float], floor: float, text: str = "hello", **config: object) -> GoldenRequest:
    return GoldenRequest("/vectors", {"text": text, "config": config}, {"vector": vector}, Tolerance(min_cosine=floor))


class Embed:
    """Answers with one vector, and remembers the requests and how many were under way together."""

    def __init__(self, vector: list[float]) -> None:
        self.vector, self.requests, self.together = vector, [], []
        self._under_way = 0

    async def __call__(self, request: EmbedRequest, deadline: float | None) -> np.ndarray:
        self.requests.append(request)
        self._under_way += 1
        await asyncio.sleep(0)
        self.together.append(self._under_way)
        self._under_way -= 1
        return np.asarray(self.vector, dtype=np.float32)


def check(*requests: GoldenRequest, vector: list[float], fits: Any = lambda request: True) -> Embed:
    embed = Embed(vector)
    endpoint = VectorsEndpoint(embed, fits, MODEL, honor_pooling_strategy=False)
    embed.checked = asyncio.run(check_golden(Golden(requests), {"/vectors": endpoint}))
    return embed


def test_vectors_at_or_above_the_floor_pass():
    assert check(golden_request([2.0, 0.0], 1.0), vector=[1, 0]).checked == 1


def test_a_vector_below_the_floor_is_named_with_its_figure():
    message = r'/vectors \{"text":"hello".*vector has a cosine of 0.707107 to the original, below 0.800000'
    with pytest.raises(GoldenMismatch, match=message):
        check(golden_request([1.0, 0.0], 0.8), vector=[1, 1])


@pytest.mark.parametrize("vector", [[1, 0, 0], [np.nan, 0], [0, 0], []])
def test_a_vector_of_another_shape_not_finite_or_zero_is_a_miss(vector):
    with pytest.raises(GoldenMismatch):
        check(golden_request([1.0, 0.0], 0.5), vector=vector)


def test_requests_are_parsed_as_any_other_request_is():
    embed = check(
        golden_request([1.0, 0.0], 0.9, task_type="query"),
        golden_request([1.0, 0.0], 0.9, prompt_name="other"),
        vector=[1, 0],
    )
    assert embed.requests == [
        EmbedRequest("hello", "text", "q: ", CLS, 0, None),
        EmbedRequest("hello", "text", "o: ", CLS, 0, None),
    ]


def test_the_first_is_answered_alone_and_the_rest_together():
    requests = [golden_request([1.0, 0.0], 0.9, text) for text in "abcd"]
    assert check(*requests, vector=[1, 0]).together == [1, 3, 2, 1]


def test_a_request_beyond_this_servers_limits_is_skipped():
    embed = check(golden_request([1.0, 0.0], 0.9), vector=[1, 0], fits=lambda request: False)
    assert (embed.requests, embed.checked) == ([], 0)


def test_a_prompt_that_the_bundle_does_not_have_is_a_miss_by_its_name():
    with pytest.raises(GoldenMismatch, match="is refused: config.prompt_name must be .*: rebuild the bundle"):
        check(golden_request([1.0, 0.0], 0.9, prompt_name="lost"), vector=[1, 0])


def test_a_route_that_the_server_does_not_have_is_a_miss_by_its_name():
    request = GoldenRequest("/scores", {"text": "hello"}, {}, EXACT)
    with pytest.raises(GoldenMismatch, match=r"/scores .*: this server has no such path: rebuild the bundle"):
        check(request, vector=[1, 0])


def test_a_field_that_the_answer_lacks_is_a_miss():
    request = GoldenRequest("/vectors", {"text": "hello"}, {"score": 1}, EXACT)
    with pytest.raises(GoldenMismatch, match="score differs from the original"):
        check(request, vector=[1, 0])


def test_a_long_body_is_cut_in_the_message():
    with pytest.raises(GoldenMismatch) as caught:
        check(golden_request([1.0, 0.0], 0.9, "x" * 10_000), vector=[0, 1])
    assert len(str(caught.value)) < 300


def test_what_stops_an_inference_is_passed_on():
    async def fail(request: EmbedRequest, deadline: float | None) -> np.ndarray:
        raise InferenceFailed("the model failed")

    endpoint = VectorsEndpoint(fail, lambda request: True, MODEL, honor_pooling_strategy=False)
    with pytest.raises(InferenceFailed):
        asyncio.run(check_golden(Golden((golden_request([1.0, 0.0], 0.9),)), {"/vectors": endpoint}))


CLOSE = Tolerance(max_error=0.01)
COSINE = Tolerance(min_cosine=0.9)


@pytest.mark.parametrize(
    ("expected", "value", "tolerance", "agrees"),
    [
        ("text", "text", EXACT, True),
        ("text", "other", COSINE, False),
        (1, 1, EXACT, True),
        (1, 1.0, EXACT, False),
        (1, True, CLOSE, False),
        (0.5, 0.509, CLOSE, True),
        (0.5, 0.511, CLOSE, False),
        (0.5, "0.5", CLOSE, False),
        ([0.5, 0.1], [0.5, 0.109], CLOSE, True),
        ([0.5, 0.1], [0.5, 0.2], CLOSE, False),
        ([0.5, 0.1], [0.5], CLOSE, False),
        ([[1, 0], [0, 1]], [[2, 0.1], [0, 2]], COSINE, True),
        ([[1, 0], [0, 1]], [[0, 1], [1, 0]], COSINE, False),
        ([[1, 0], [0, 1]], [[1, 0]], COSINE, False),
        ([], [], COSINE, True),
        ([], [1], COSINE, False),
        ([{"score": 0.5}], [{"score": 0.509, "document": "a"}], CLOSE, True),
        ([{"score": 0.5}], [{"score": 0.52}], CLOSE, False),
        ({"score": 0.5}, {}, CLOSE, False),
        ({"score": 0.5}, [0.5], CLOSE, False),
        (None, None, EXACT, True),
        (None, 0, EXACT, False),
    ],
)
def test_values_agree_within_the_tolerance(expected: Any, value: Any, tolerance: Tolerance, agrees: bool):
    assert (compare(expected, json.loads(json.dumps(value)), tolerance) is None) is agrees


def test_two_zero_vectors_agree():
    assert cosine_of([0.0, 0.0], [0.0, 0.0]) == 1.0
