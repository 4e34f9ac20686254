"""Large bodies are parsed in steps, with turns for others in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator

import pytest
from falcon import testing

from runtime.api import endpoint
from runtime.api.app import create_app
from runtime.api.endpoint import LARGE_BODY
from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import STRING
from runtime.errors import InvalidRequest
from runtime.readiness import Readiness
from tests.support.server.fake_encoder import META, with_bodies

STEPS = 5


class InSteps:
    """Implements ``Endpoint`` and ``ParsesInSteps``; others ask for a turn at each step."""

    operation = Operation("Bytes to their number", STRING, STRING)

    def __init__(self) -> None:
        self.turns = 0
        self.turns_before: list[int] = []

    def parse(self, body: bytes) -> int:
        return -len(body)

    def parse_in_steps(self, body: bytes) -> Generator[None, None, int]:
        for _ in range(STEPS):
            self.turns_before.append(self.turns)
            asyncio.get_running_loop().call_soon(self._turn)
            yield
        if body.endswith(b"!"):
            raise InvalidRequest("the body must not end like that")
        return len(body)

    def size(self, item: int) -> int:
        return 0

    def fits(self, item: int) -> bool:
        return True

    async def answer(self, item: int, deadline: float | None) -> bytes:
        return json.dumps(item).encode()

    def _turn(self) -> None:
        self.turns += 1


@pytest.fixture
def served() -> InSteps:
    return InSteps()


@pytest.fixture
def client(served: InSteps) -> testing.TestClient:
    readiness = Readiness()
    readiness.started()
    return testing.TestClient(with_bodies(create_app({"/bytes": served}, META, readiness)))


def test_others_have_a_turn_after_each_step(
    client: testing.TestClient, served: InSteps, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(endpoint, "MAX_HOLD", 0)
    size = LARGE_BODY + 1
    assert client.simulate_post("/bytes", body=b"a" * size).json == size
    assert served.turns_before == list(range(STEPS))


def test_steps_that_are_short_share_a_turn(
    client: testing.TestClient, served: InSteps, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(endpoint, "MAX_HOLD", 3600)
    size = LARGE_BODY + 1
    assert client.simulate_post("/bytes", body=b"a" * size).json == size
    assert served.turns_before == [0] * STEPS


def test_a_small_body_is_parsed_at_once(client: testing.TestClient, served: InSteps):
    assert client.simulate_post("/bytes", body=b"a" * LARGE_BODY).json == -LARGE_BODY
    assert served.turns_before == []


def test_what_is_wrong_with_a_large_body_is_a_400(client: testing.TestClient):
    result = client.simulate_post("/bytes", body=b"a" * LARGE_BODY + b"!")
    assert result.status_code == 400
    assert result.json == {"error": "the body must not end like that"}
