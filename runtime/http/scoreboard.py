"""How busy each worker is: a page of memory that the master makes before it forks, and a bell for each worker."""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Callable

from runtime.http.turns import ABSENT, Stage, busyness, requests_of, stage_of, whose_turn
from runtime.metrics.board import Board
from runtime.metrics.http_figures import HttpFigures
from runtime.siblings.mailboxes import Mailboxes

ROW_BYTES = 64
"""A line of the processor's cache for each worker, so that none slows down another by writing to its own row."""

FIELDS = ROW_BYTES // 8
BUSYNESS, RUNG_AT, HAS_BEEN_READY = range(3)
"""The numbers of a row. Each is written and read as a whole.

``RUNG_AT``: when the bell rang first since it was last answered, in nanoseconds of the monotonic clock; 0: it is still.
"""

DEAF_SECONDS = 1.0
"""A worker that does not answer its bell for so long hangs."""


class Scoreboard:
    """The rows of all workers. Made by the master, and inherited by every worker."""

    def __init__(self, workers: int) -> None:
        self._numbers = memoryview(mmap.mmap(-1, workers * ROW_BYTES)).cast("Q")
        self._bells = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(workers)]
        self._last_word = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.figures = Board(workers)
        self.mailboxes = Mailboxes(workers)

    def seat(self, number: int) -> Seat:
        """What the worker of that number sees of it. Numbers begin at 0."""
        seat = Seat(number, self._numbers, self._bells, self._last_word, figures=self.figures)
        seat.mailboxes = self.mailboxes
        return seat

    def clear(self, number: int) -> None:
        """The worker of that number has ended: call all others, of which one takes its turn."""
        row = number * FIELDS
        self._numbers[row + BUSYNESS] = ABSENT
        self._numbers[row + RUNG_AT] = 0
        self.figures.clear(number)
        self.mailboxes.clear(number)
        for bell in self._bells:
            _ring(bell)


class Seat:
    """A worker's own row, which it alone writes, and its view of the others."""

    mailboxes: Mailboxes
    """Those of all workers, where it is one of several."""

    def __init__(
        self,
        number: int,
        numbers: memoryview[int],
        bells: list[int],
        last_word: int,
        clock: Callable[[], int] = time.monotonic_ns,
        figures: Board | None = None,
    ) -> None:
        """``numbers``: of all rows. ``clock``: nanoseconds. ``figures``: what all workers count."""
        self.number, self.workers, self._last_word = number, len(bells), last_word
        self._own, self._bells, self._clock = numbers[number * FIELDS : (number + 1) * FIELDS], bells, clock
        self._busy, self._rung_at = numbers[BUSYNESS::FIELDS], numbers[RUNG_AT::FIELDS]
        self._have_been_ready = numbers[HAS_BEEN_READY::FIELDS]
        self._none_deaf = [False] * len(bells)
        self.board = figures if figures is not None else Board(len(bells))
        self.figures = HttpFigures(self.board.row(number))
        self.guests = 0
        """Groups of texts that this worker embeds for others. They count as requests in progress."""
        self._stage, self._last, self._is_open = Stage.STARTING, (0, 0, Stage.READY), False

    @property
    def bell(self) -> int:
        """The file descriptor that becomes readable when this worker is called."""
        return self._bells[self.number]

    def all_have_been_ready(self) -> bool:
        """Whether each worker, or one before it in its place, has been ready."""
        return all(self._have_been_ready)

    def has_last_word(self) -> bool:
        """Whether this worker is the first that says why the server cannot serve. What fails in one fails in all."""
        try:
            return os.eventfd_read(self._last_word) > 0
        except BlockingIOError:
            return False

    def enter(self, stage: Stage) -> None:
        """This worker is in that stage from now on. There is no way back."""
        if stage is Stage.READY:
            self._own[HAS_BEEN_READY] = 1
        if self._stage is not Stage.DRAINING:
            self._stage = stage
        if self._is_open:
            self.publish(*self._last)

    def publish(self, requests: int, connections: int, stage: Stage = Stage.READY) -> None:
        """Show how busy this worker is; see ``busyness``. ``stage``: if it is a later one than that of the worker."""
        self._last, self._is_open = (requests, connections, stage), True
        self._own[BUSYNESS] = busyness(max(self._stage, stage), requests + self.guests, connections)

    def count_guest(self, change: int) -> None:
        """A group of texts of another worker has come (1) or ended (-1)."""
        self.guests += change
        if self._is_open:
            self.publish(*self._last)

    def requests_of(self, number: int) -> int | None:
        """How many requests another worker has in progress; None if it is not ready, drains, or does not listen."""
        busy = self._busy[number]
        if busy == ABSENT or stage_of(busy) > Stage.FULL or self._is_deaf(self._rung_at[number]):
            return None
        return requests_of(busy)

    def leave(self) -> None:
        """Have no more turns, whatever is published from now on, and call all others, of which one has the next."""
        self._own[BUSYNESS] = ABSENT
        self._own = memoryview(bytearray(ROW_BYTES)).cast("Q")
        for bell in self._bells:
            _ring(bell)

    def whose_turn(self) -> int:
        """The number of the worker that a connection which waits now is for."""
        busy = self._busy.tolist()
        turn = whose_turn(self.number, busy, self._none_deaf)
        if turn == self.number:
            return turn  # PERF: who is deaf matters only where another would be called
        return whose_turn(self.number, busy, list(map(self._is_deaf, self._rung_at)))

    def _is_deaf(self, rung_at: int) -> bool:
        return 0 < rung_at < self._clock() - int(DEAF_SECONDS * 1e9)

    def call(self, number: int) -> None:
        """Ring another worker's bell, so that it looks whether it is its turn."""
        if not self._rung_at[number]:
            self._rung_at[number] = self._clock()
        _ring(self._bells[number])

    def answer(self) -> None:
        """Silence the own bell."""
        # NOTE: in this order, whoever calls in between is heard by another ring. In the other one, the bell could be
        # silent and still count as ringing, and this worker as deaf for good.
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.bell)
        self._own[RUNG_AT] = 0


def _ring(bell: int) -> None:
    # NOTE: it can only be full where nobody has answered for 2^64 calls.
    with contextlib.suppress(BlockingIOError):
        os.eventfd_write(bell, 1)
