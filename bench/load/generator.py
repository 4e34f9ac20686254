"""Puts one server under one load: one thread, raw sockets.

A process of its own, ``python -m bench.load.generator``, so that it shares no interpreter lock with anybody.
It reads a ``LoadSpec`` from standard input and writes a ``LoadResult`` to standard output, both as JSON. Before the
result it writes the line ``MIDDLE`` in the middle of a load that counts its losses.
"""

from __future__ import annotations

import gc
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict

from bench.errors import LoadFailed
from bench.load.closed_loop import ClosedLoop
from bench.load.exchange import Loss
from bench.load.kept_connections import run_kept
from bench.load.loads import SLOW_CLIENTS, Group, LoadResult, LoadSpec
from bench.load.routes import Route
from bench.load.slow_clients import SlowClients
from bench.load.wire import Request
from bench.report.statistics import percentile

EXIT_FAILED = 1
MIDDLE = "middle"

PREPARED_WORDS_PER_SECOND = 50_000
"""So much is prepared before the load. Texts that are needed beyond are made in the meantime."""


def run_load(spec: LoadSpec, in_the_middle: Callable[[], None] = lambda: None) -> LoadResult:
    """Load the server. ``in_the_middle`` is called once half of the time is over or half of the requests are sent.

    Raises ``LoadFailed`` for wrong answers, and over kept connections for anything that is lost.
    """
    load = spec.load
    route = load.module.route(spec.numbers, load.texts)
    if not load.counts_losses:
        with SlowClients(spec.port, SLOW_CLIENTS) if load.group is Group.SLOW else nullcontext():
            return run_kept(spec, route)
    loop = ClosedLoop(spec.port, load.in_flight, _requests(spec, route), route)
    start = time.perf_counter()
    middle = _Once(in_the_middle)

    def going_on() -> bool:
        elapsed = time.perf_counter() - start
        if elapsed >= spec.seconds / 2 or loop.tally.sent >= spec.requests / 2:
            middle()
        return elapsed < spec.seconds

    gc.disable()
    before = time.process_time()
    try:
        loop.run(going_on)
    finally:
        seconds = time.perf_counter() - start
        cpu_seconds = time.process_time() - before
        gc.enable()
    if loop.tally.lost[Loss.WRONG]:
        raise LoadFailed(loop.tally.first_wrong)
    return _result(loop, cpu_seconds, start, seconds)


class _Once:
    """Calls a function the first time that it is called itself."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._waiting = [function]

    def __call__(self) -> None:
        while self._waiting:
            self._waiting.pop()()


def _requests(spec: LoadSpec, route: Route) -> Iterator[Request]:
    load = spec.load
    limited = itertools.islice(route.requests(load.length, spec.port, spec.seed), spec.requests)
    prepared = load.in_flight + round(spec.seconds * PREPARED_WORDS_PER_SECOND / load.length.high)
    return itertools.chain(list(itertools.islice(limited, prepared)), limited)


def _result(loop: ClosedLoop, cpu_seconds: float, start: float, seconds: float) -> LoadResult:
    """``seconds``: until the last request was answered or lost.

    NOTE: the rate over only the time in which new requests are sent would leave out most of what the server did where
    many wait for long: all that it has begun then.
    """
    tally = loop.tally
    moments = [start, *tally.answered_at, start + seconds]
    return LoadResult(
        requests=tally.answers,
        seconds=seconds,
        p50_ms=percentile(tally.latencies, 50) * 1e3 if tally.latencies else 0.0,
        p99_ms=percentile(tally.latencies, 99) * 1e3 if tally.latencies else 0.0,
        max_ms=max(tally.latencies, default=0.0) * 1e3,
        answers=tally.answers,
        dials=loop.dials,
        resends=tally.resends,
        cpu_seconds=cpu_seconds,
        lost=dict(tally.lost),
        silence_seconds=max(later - earlier for earlier, later in itertools.pairwise(moments)),
    )


def main() -> int:
    spec = LoadSpec.read(json.load(sys.stdin))
    try:
        result = run_load(spec, lambda: print(MIDDLE, flush=True))
    except LoadFailed as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    json.dump(asdict(result), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
