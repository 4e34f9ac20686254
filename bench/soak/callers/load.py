"""Puts all callers together: those of Weaviate's pattern in one thread, the crowd in another."""

from __future__ import annotations

import itertools
import threading
from contextlib import ExitStack

from bench.errors import LoadFailed
from bench.load.closed_loop import ClosedLoop
from bench.soak.callers.crowd import Caller, Crowd
from bench.soak.callers.probes import ProbedVectors, Probes, requests
from bench.soak.losses import LostRequest
from bench.soak.plan import Plan


class Callers:
    """They dial one port, which ``redirect`` changes, from ``start`` to ``stop``."""

    def __init__(self, port: int, plan: Plan, probes: Probes) -> None:
        self._route = ProbedVectors(probes)
        limited = itertools.islice(requests(probes, port, plan.seed), plan.max_requests)
        self.loop = ClosedLoop(port, plan.in_flight, limited, self._route)
        self.crowd = Crowd(port, plan, probes)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="weaviate", daemon=True)
        self._error: LoadFailed | None = None

    @property
    def compared(self) -> int:
        """How many answers were compared with what is known."""
        return self._route.compared + self.crowd.route.compared

    @property
    def first_wrong(self) -> str:
        """What was wrong with a wrong answer; empty where all were right."""
        return self.loop.tally.first_wrong or self.crowd.tally.first_wrong

    @property
    def losses(self) -> list[LostRequest]:
        """So far, in the order in which they happened."""
        weaviate = (LostRequest(at, Caller.WEAVIATE, reason) for at, reason in list(self.loop.tally.lost_at))
        return sorted([*weaviate, *self.crowd.tally.losses], key=lambda loss: loss.at)

    @property
    def has_ended(self) -> bool:
        """Whether Weaviate's callers have sent all that they may, or could not go on."""
        return not self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()
        self.crowd.start()

    def redirect(self, port: int) -> None:
        self.loop.redirect(port)
        self.crowd.port = port

    def stop(self) -> None:
        """Send nothing more, and wait for what is in flight. Raises ``LoadFailed`` for this machine's own limits."""
        self._is_over.set()
        with ExitStack() as stack:
            stack.callback(self._thread.join)
            stack.callback(self.crowd.stop)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self.loop.run(lambda: not self._is_over.is_set())
        except LoadFailed as error:
            self._error = error
