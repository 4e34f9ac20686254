"""The service of one worker: ready once the golden requests came out right, and a reason in one line where not."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from manifest import BundleError, Golden, GoldenRequest, Tolerance
from runtime.errors import GoldenMismatch, InferenceFailed
from runtime.http.limits import HttpLimits
from runtime.kinds import Model
from runtime.readiness import Readiness, State
from runtime.service import Service

GOLDEN = Golden((GoldenRequest("/echo", {}, {"answer": 1}, Tolerance()),))


class Panic(BaseException):
    """As the tokenizers' library raises it."""


@dataclass
class Endpoint:
    """Answers rightly, or raises."""

    error: BaseException | None = None
    is_small: bool = True

    def parse(self, body: bytes) -> bytes:
        return body

    def size(self, item: bytes) -> int:
        return len(item)

    def fits(self, item: bytes) -> bool:
        return self.is_small

    async def answer(self, item: bytes, deadline: float | None) -> bytes:
        if self.error is not None:
            raise self.error
        return b'{"answer": 1}'


class Jobs:
    in_flight = 0

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


@dataclass
class Served:
    readiness: Readiness = field(default_factory=Readiness)
    calls: list[str] = field(default_factory=list)


def serve(endpoint: Endpoint, golden: Golden = GOLDEN, is_verified: bool = True) -> Served:
    """What a service does at its start."""
    served = Served()
    model = Model({}, {"/echo": endpoint}, {}, Jobs())
    service = Service(
        None, HttpLimits(), model, golden, is_verified, served.readiness, lambda: served.calls.append("ready")
    )

    async def start() -> None:
        service.start(lambda: served.calls.append("failed"))
        while not served.calls:
            await asyncio.sleep(0)
        service.stop()

    asyncio.run(start())
    return served


@pytest.mark.parametrize("is_verified", [True, False])
def test_it_is_ready_once_the_golden_requests_came_out_right(is_verified: bool):
    served = serve(Endpoint(), is_verified=is_verified)
    assert (served.readiness.state, served.calls) == (State.READY, ["ready"])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (GoldenMismatch("too far"), "too far"),
        (InferenceFailed("the model failed"), "the model failed"),
        (BundleError("no such file"), "no such file"),
        (ValueError("matmul: shapes"), "ValueError: matmul: shapes"),
        (MemoryError(), "MemoryError: "),
        (Panic("in Rust"), "Panic: in Rust"),
    ],
)
def test_whatever_goes_wrong_ends_it_with_one_line(error: BaseException, sentence: str, caplog):
    with caplog.at_level(logging.INFO):
        served = serve(Endpoint(error))
    assert (served.readiness.state, served.calls) == (State.STARTING, ["failed"])
    assert caplog.messages == [f"not serving: {sentence}"]
    assert caplog.records[0].exc_info is None


def test_the_stack_trace_is_a_detail(caplog):
    with caplog.at_level(logging.DEBUG):
        serve(Endpoint(ValueError("matmul")))
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("is_verified", [True, False])
def test_golden_requests_of_which_none_can_be_checked_prove_nothing(is_verified: bool, caplog):
    served = serve(Endpoint(is_small=False), is_verified=is_verified)
    assert served.calls == ["failed"]
    assert "golden.json has no request that this server can check: raise MAX_TOKENS" in caplog.text


def test_a_verified_bundle_has_golden_requests(caplog):
    assert serve(Endpoint(), Golden(())).calls == ["failed"]
    assert "golden.json has no request that this server can check" in caplog.text


def test_a_bundle_that_the_build_is_about_to_verify_has_none():
    assert serve(Endpoint(), Golden(()), is_verified=False).calls == ["ready"]


def test_a_stop_during_the_check_is_no_failure(caplog):
    served = Served()

    class Waits(Endpoint):
        async def answer(self, item: bytes, deadline: float | None) -> bytes:
            await asyncio.Event().wait()
            return b""

    model = Model({}, {"/echo": Waits()}, {}, Jobs())
    service = Service(None, HttpLimits(), model, GOLDEN, True, served.readiness, lambda: served.calls.append("ready"))

    async def start() -> None:
        service.start(lambda: served.calls.append("failed"))
        await asyncio.sleep(0)
        service.drain()
        for _ in range(10):
            await asyncio.sleep(0)

    asyncio.run(start())
    assert (served.readiness.state, served.calls, caplog.messages) == (State.DRAINING, [], [])
