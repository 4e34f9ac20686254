"""Requests whose texts are run on the event loop's own thread, over real sockets: what else happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from runtime.api.app import create_app
from runtime.api.vectors import VectorsEndpoint
from runtime.errors import InferenceFailed
from runtime.http import http_server
from runtime.http.http_server import HttpServer
from runtime.http.limits import Deadlines, Draining, HttpLimits
from runtime.inference.token_batch import TokenBatch
from runtime.inference.token_run import RunBatch, TokenRun, Tokens
from runtime.readiness import Readiness
from runtime.scheduling.job import Step, Steps
from runtime.scheduling.lone_jobs import IN_A_ROW, MEASURED_RUNS, LoneJobs
from runtime.scheduling.memory_budget import MemoryBudget
from runtime.scheduling.scheduler import Scheduler
from runtime.text.request import EmbedRequest
from tests.support.bundles.text_models import a_text_model
from tests.support.server.http_requests import post
from tests.support.server.http_server import Client, Running, run, serving, until

MODEL = a_text_model(dim=2)
LIMITS = HttpLimits(Deadlines(), draining=Draining(0.05, 600))
ON_LOOP, ON_THREAD = True, False


def asking(text: str) -> bytes:
    return post(orjson.dumps({"text": text}), "/vectors", "Content-Type: application/json")


class Engine:
    """Implements ``Engine``: the vector of a text is its number, twice. Remembers where it ran."""

    supports_batching = True
    pools = False

    def __init__(self) -> None:
        self.runs: list[tuple[int, bool]] = []
        self.during: Callable[[], object] = lambda: None

    def run(self, batch: TokenBatch, cores: int) -> NDArray[np.float32]:
        number = int(batch.ids[0])
        self.runs.append((number, threading.current_thread() is threading.main_thread()))
        during, self.during = self.during, lambda: None
        during()
        return np.full((len(batch.ids), 2), number, np.float32)


@dataclass
class Served:
    """A server of that engine, with a client whose requests run on the event loop by now."""

    running: Running
    engine: Engine
    budget: MemoryBudget
    first: Client

    @property
    def server(self) -> HttpServer:
        return self.running.server

    @property
    def requests(self) -> int:
        """How many are in progress."""
        return self.server._seat.figures.requests


async def vector(client: Client, text: str) -> Any:
    """As ``answered``, to a request with this text."""
    client.send(asking(text))
    return await answered(client)


async def answered(client: Client) -> Any:
    """What the vector's components are; of an error, its status."""
    status, body = await client.answer()
    return set(orjson.loads(body)["vector"]) if status == 200 else status


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    engine, budget = Engine(), MemoryBudget(1000)
    # NOTE: however slow this machine is, runs are quick.
    lone = LoneJobs(lambda run: run.tokens, longest_seconds=600)

    def begin(request: EmbedRequest) -> Steps[Any]:
        tokens: Tokens = yield Step(TokenRun(engine, TokenBatch.of([int(request.text)]), 10), 1)
        return tokens[0]

    scheduler: Scheduler[Any] = Scheduler(begin, partial(RunBatch, budget), 2, lone=lone)

    async def embed(request: EmbedRequest, deadline: float | None) -> NDArray[np.float32]:
        return await scheduler.submit(request, request, deadline=deadline, is_short=True)

    readiness = Readiness()
    readiness.started()
    endpoint = VectorsEndpoint(embed, lambda request: True, MODEL, honor_pooling_strategy=False)
    scheduler.start()
    try:
        async with serving(create_app({"/vectors": endpoint}, {}, readiness, frozenset()), LIMITS) as running:
            served = Served(running, engine, budget, await running.client())
            lone.requests = lambda: served.requests
            for _ in range(max(MEASURED_RUNS, IN_A_ROW)):
                await vector(served.first, "0")
            engine.runs.clear()
            yield served
    finally:
        scheduler.stop()


def of(client: Client) -> socket.socket:
    """The client's socket, to use it while the event loop does something else."""
    return socket.socket(fileno=os.dup(client.writer.get_extra_info("socket").fileno()))


def test_a_request_that_arrives_during_a_run_is_answered_after_it():
    async def main():
        async with served() as server:
            second = await server.running.client()
            with of(second) as sock:
                server.engine.during = lambda: sock.sendall(asking("2"))
                assert await vector(server.first, "1") == {1}
                assert await answered(second) == {2}
                return server.engine.runs

    assert run(main) == [(1, ON_LOOP), (2, ON_LOOP)]


def test_the_runs_of_two_clients_who_do_not_wait_for_each_other_go_to_threads():
    async def main():
        async with served() as server:
            second = await server.running.client()
            with of(second) as sock:
                for number in range(IN_A_ROW - 1):
                    assert await vector(server.first, str(number)) == {number}
                server.engine.during = lambda: sock.sendall(asking("101"))
                assert await vector(server.first, "100") == {100}
                assert await answered(second) == {101}
                return server.engine.runs[IN_A_ROW - 1 :]

    assert run(main) == [(100, ON_LOOP), (101, ON_THREAD)]


def test_a_connection_that_is_made_during_a_run_is_accepted_after_it():
    async def main():
        async with served() as server:
            with socket.socket() as sock:

                def connect() -> None:
                    sock.connect(("127.0.0.1", server.running.port))
                    sock.sendall(asking("2"))

                server.engine.during = connect
                assert await vector(server.first, "1") == {1}
                return await asyncio.to_thread(sock.recv, 15), server.engine.runs

    assert run(main) == (b"HTTP/1.1 200 OK", [(1, ON_LOOP), (2, ON_LOOP)])


def test_while_a_body_is_on_its_way_nothing_runs_on_the_event_loop():
    async def main():
        async with served() as server:
            slow = await server.running.client()
            slow.send(asking("2")[:-1])
            await until(lambda: server.requests == 1)
            assert await vector(server.first, "1") == {1}
            slow.send(asking("2")[-1:])
            assert await answered(slow) == {2}
            return server.engine.runs

    assert run(main) == [(1, ON_THREAD), (2, ON_THREAD)]


def test_a_client_that_leaves_during_its_run_is_noticed_after_it():
    async def main():
        async with served() as server:
            leaving = await server.running.client()
            with of(leaving) as sock:
                server.engine.during = lambda: sock.shutdown(socket.SHUT_RDWR)
                leaving.send(asking("1"))
                await until(lambda: server.server.connections == 1)
            assert await vector(server.first, "2") == {2}
            return server.engine.runs, server.budget.leased

    assert run(main) == ([(1, ON_LOOP), (2, ON_LOOP)], 0)


def test_a_drain_that_begins_during_a_run_waits_for_its_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_server, "MIN_LINGER_IN_USE", 0.05)

    async def main():
        async with served() as server:
            server.engine.during = server.server.drain
            server.first.send(asking("1"))
            answer = await server.first.rest()
            return server.engine.runs, answer, await server.running.serving

    runs, answer, cut = run(main)
    assert (runs, cut) == ([(1, ON_LOOP)], 0)
    assert b"200 OK" in answer
    assert b"connection: close" in answer


def test_an_error_of_the_engine_is_answered_and_its_memory_given_back():
    def fail() -> None:
        raise InferenceFailed("no")

    async def main():
        async with served() as server:
            server.engine.during = fail
            answers = [await vector(server.first, "1"), server.budget.leased]
            return answers, await vector(server.first, "2"), server.engine.runs

    assert run(main) == ([500, 0], {2}, [(1, ON_LOOP), (2, ON_LOOP)])
