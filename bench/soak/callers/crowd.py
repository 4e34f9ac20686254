"""The callers beside those of Weaviate's pattern: one has a megabyte, some leave in the middle, some are slow.

They share one thread. Whoever waits for an answer counts what becomes of it.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from bench.errors import LoadFailed
from bench.load.exchange import Loss
from bench.load.wire import ANSWER_SECONDS, OK, Request, status_of
from bench.soak.callers.probes import ProbedVectors, Probes, requests
from bench.soak.callers.sockets import SMALL_BUFFER, dial, receive, reset_on_close, send
from bench.soak.losses import LostRequest
from bench.soak.plan import Plan

SLOW_PIECES, SLOW_PAUSE = 20, 0.15
"""A slow client takes 3 s for a request, or for an answer."""

LEAVE_SECONDS = 1.0
"""At most so long after its request a caller leaves."""

REST_SECONDS = 0.5
"""Between two requests of a caller that leaves, and before one that was refused tries again."""

LOOK_SECONDS = 0.5
"""So often the caller with a megabyte looks whether it may begin."""

UNDER_LOAD = 10.0
"""Before the first megabyte was timed under load, it is expected to take so many times as long as alone."""

MARGIN = 1.5
"""A megabyte is expected to take so many times as long as the slowest one before."""

MOST_OF_A_LIFE = 0.8
"""Whatever is expected, a megabyte may begin while more than this share of the time between two breaks is left."""

END_SECONDS = 120.0
"""What is in flight at the end is waited for no longer than that."""


class Caller(StrEnum):
    """Who waits for an answer."""

    WEAVIATE = "in Weaviate's pattern"
    LARGE = "with a megabyte"
    SENDER = "that sends slowly"
    READER = "that reads slowly"
    LEAVER = "that leaves"


@dataclass
class Tally:
    """What became of the requests so far. Other threads may read it."""

    sent: Counter[Caller] = field(default_factory=Counter)
    answered: Counter[Caller] = field(default_factory=Counter)
    left: int = 0
    """How many requests were left before their answer was looked for."""
    losses: list[LostRequest] = field(default_factory=list)
    large_seconds: list[float] = field(default_factory=list)
    first_wrong: str = ""


class Crowd:
    """Runs from ``start`` to ``stop``. ``port`` is where its callers dial; any thread may set it."""

    def __init__(self, port: int, plan: Plan, probes: Probes) -> None:
        self.port = port
        self.tally = Tally()
        self.route = ProbedVectors(probes)
        self._plan, self._large = plan, probes.large
        self._requests = requests(probes, port, f"{plan.seed}, crowd")
        self._random = random.Random(f"{plan.seed}, crowd")
        self._expected_seconds = UNDER_LOAD * probes.large_seconds
        self._most_seconds = MOST_OF_A_LIFE * min(plan.seconds, plan.restart_seconds)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="crowd", daemon=True)
        self._main: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        self._start = time.perf_counter()
        self._ending = asyncio.Event()
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more, and wait for what is in flight. Raises what ended the thread before."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._cancel)
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _cancel(self) -> None:
        if self._main is not None:
            self._main.cancel()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._live())
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self._error = error
        finally:
            self._loop.close()

    async def _live(self) -> None:
        self._main = asyncio.current_task()
        slow = [self._send_slowly if number % 2 else self._read_slowly for number in range(self._plan.slow)]
        async with asyncio.TaskGroup() as callers:
            callers.create_task(self._ask_for_a_megabyte())
            for visit in [*slow, *[self._leave] * self._plan.leavers]:
                callers.create_task(self._repeat(visit))

    async def _repeat(self, visit: Callable[[Request], Awaitable[None]]) -> None:
        await self._rest(self._random.uniform(0, REST_SECONDS))  # they do not march in step
        while not self._ending.is_set():
            await visit(next(self._requests))

    async def _ask_for_a_megabyte(self) -> None:
        """Without a timeout, but never where a replacement would be due before the answer."""
        while not self._ending.is_set():
            start = time.perf_counter()
            if self._plan.may_begin(start - self._start, min(self._expected_seconds, self._most_seconds)):
                await self._expect(Caller.LARGE, self._large.request, self._exchange(self._large.request))
                self.tally.large_seconds.append(time.perf_counter() - start)
                self._expected_seconds = MARGIN * max(self.tally.large_seconds)
            await self._rest(LOOK_SECONDS)

    async def _send_slowly(self, request: Request) -> None:
        await self._expect(Caller.SENDER, request, self._in_time(self._exchange(request, sent_in=SLOW_PIECES)))

    async def _read_slowly(self, request: Request) -> None:
        await self._expect(Caller.READER, request, self._in_time(self._exchange(request, read_in=SLOW_PIECES)))

    async def _leave(self, request: Request) -> None:
        """In the middle of the request, or some time after it; with a goodbye, or without one."""
        self.tally.sent[Caller.LEAVER] += 1
        part = self._random.choice((self._random.random(), 1.0, 1.0))
        try:
            async with dial(self.port) as connection:
                if self._random.random() < 0.5:
                    reset_on_close(connection)
                with suppress(ConnectionError):  # it would not have waited for an answer
                    await send(connection, request.wire[: max(1, round(part * len(request.wire)))])
                    await self._rest(self._random.uniform(0, LEAVE_SECONDS))
        except OSError as error:
            self._lose(Caller.LEAVER, _reason(error))
        else:
            self.tally.left += 1
        await self._rest(REST_SECONDS)

    async def _exchange(self, request: Request, sent_in: int = 1, read_in: int = 1) -> bytearray:
        async with dial(self.port, SMALL_BUFFER if read_in > 1 else None) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):  # an answer may have come before the end
                await send(connection, request.wire, sent_in, SLOW_PAUSE)
            return await receive(connection, read_in, SLOW_PAUSE)

    @staticmethod
    async def _in_time(exchange: Awaitable[bytearray]) -> bytearray:
        return await asyncio.wait_for(exchange, ANSWER_SECONDS)

    async def _expect(self, caller: Caller, request: Request, exchange: Awaitable[bytearray]) -> None:
        """Count one answer, or its loss."""
        self.tally.sent[caller] += 1
        try:
            response = await exchange
            if response[9:12] != OK:
                self._lose(caller, f"{Loss.STATUS} {status_of(response)}")
                return
            self.route.check(response, request)
        except LoadFailed as error:
            self.tally.first_wrong = self.tally.first_wrong or str(error)
            self._lose(caller, Loss.WRONG)
        except TimeoutError:
            self._lose(caller, Loss.TIMEOUT)
        except OSError as error:
            self._lose(caller, _reason(error))
            await self._rest(REST_SECONDS)
        else:
            self.tally.answered[caller] += 1

    def _lose(self, caller: Caller, reason: str) -> None:
        self.tally.losses.append(LostRequest(time.perf_counter(), caller, reason))

    async def _rest(self, seconds: float) -> None:
        """Less at the end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)


def _reason(error: OSError) -> Loss:
    return Loss.REFUSED if isinstance(error, ConnectionRefusedError) else Loss.CLOSED
