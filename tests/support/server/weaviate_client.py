"""Sends requests as Weaviate does, from a thread of the test's process, and counts what is lost.

``with WeaviateClient(port, in_flight=64) as client:`` keeps so many requests in flight: two connections are kept, the
rest is dialed anew, and each caller goes on with its next text whatever became of the last one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from bench.errors import LoadFailed
from bench.load.closed_loop import ClosedLoop
from bench.load.texts import SHORT, endless_texts
from bench.load.vectors import Vectors, vector_request
from tests.support.patience import PATIENCE
from tests.support.server.server_process import wait_until

DEFAULT_MODEL_DIM = 384


@dataclass(frozen=True)
class Outcome:
    """What became of all requests; each was either answered or lost."""

    answers: int
    lost: dict[str, int]
    """By reason: a ``bench.load.exchange.Loss``, or such as ``status 503``. Nothing was lost where it is empty."""
    first_wrong: str
    """What was wrong with the first wrong answer."""
    dials: int
    """How many connections were opened."""
    resends: int
    """How many requests were sent again because a kept connection had broken before the answer began."""
    latencies: tuple[float, ...]
    """In seconds, in the order of the answers."""


class WeaviateClient:
    """Starts when the ``with`` block is entered, and is stopped at its end at the latest."""

    def __init__(
        self,
        port: int,
        in_flight: int,
        texts: Iterable[str] | None = None,
        dim: int = DEFAULT_MODEL_DIM,
        give_up_seconds: float = PATIENCE,
    ) -> None:
        """``texts``: short ones without end by default; JSON must escape nothing in them. They end the load.

        ``give_up_seconds``: Weaviate waits 50 s for an answer. A test that counts losses waits for longer, so that
        none is due to the machine's speed.
        """
        texts = endless_texts(SHORT, "weaviate client") if texts is None else texts
        requests = (vector_request(text, port) for text in texts)
        self._loop = ClosedLoop(port, in_flight, requests, Vectors(dim), give_up_seconds)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._error: LoadFailed | None = None

    def __enter__(self) -> WeaviateClient:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def answers(self) -> int:
        """So far."""
        return self._loop.tally.answers

    @property
    def lost(self) -> int:
        """So far."""
        return self._loop.tally.lost.total()

    def wait_for_answers(self, count: int) -> None:
        """Until so many more have come than there are now, or all texts are sent."""
        enough = self.answers + count
        wait_until(
            lambda: self.answers >= enough or not self._thread.is_alive(),
            "the answers do not come",
            lambda: f"{self.answers} answers, lost {dict(self._loop.tally.lost)}",
        )

    def stop(self) -> Outcome:
        """Send nothing more, wait for what is in flight, and return what became of all.

        Raises ``LoadFailed`` where this machine could not open so many connections.
        """
        self._stop.set()
        return self.wait()

    def wait(self) -> Outcome:
        """Wait until all texts are answered or lost; raises as ``stop`` does."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the client does not end"
        if self._error is not None:
            raise self._error
        tally = self._loop.tally
        return Outcome(
            answers=tally.answers,
            lost=dict(tally.lost),
            first_wrong=tally.first_wrong,
            dials=self._loop.dials,
            resends=tally.resends,
            latencies=tuple(tally.latencies),
        )

    def _run(self) -> None:
        try:
            self._loop.run(lambda: not self._stop.is_set())
        except LoadFailed as error:
            self._error = error
