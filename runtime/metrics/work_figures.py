"""Counts texts, tokens and jobs of one worker, on the event loop and on inference threads."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.metrics.layout import (
    CACHE_HITS,
    CACHE_MISSES,
    CHUNKED,
    COALESCED,
    MISSED,
    PENDING,
    PENDING_TOKENS,
    QUEUE_SECONDS,
    QUEUED,
    RUN_SECONDS,
    TEXTS,
    TOKENS,
    TRUNCATED,
    WORK_END,
    WORK_START,
    observe,
)

TEXTS_START, TOKENS_START = TEXTS.start, TOKENS.start

PUBLISHED = ((PENDING.start, QUEUED.start + 1), (WORK_START, WORK_END))
"""Where in a row they are: gauges, and the rest."""

CHARACTERS_PER_TOKEN = 4
"""Of English prose."""


class WorkFigures:
    """Thread-safe. What is counted is shown to other processes when it is published.

    Until it is opened, nothing is shown: golden requests are no work.
    """

    def __init__(self) -> None:
        # PERF: a list takes a third of the time that shared memory takes.
        self._numbers = [0.0] * WORK_END
        # The tokens of texts that were not counted yet, of one window each.
        self._tokens: list[int] = []
        self._row: memoryview[float] | None = None
        self._lock = threading.Lock()

    def open(self, row: memoryview[float]) -> None:
        """Go on from the counters in this row, and show them there."""
        with self._lock:
            self._row = row
            self._tokens.clear()
            self._numbers = [0.0] * WORK_START + list(row[WORK_START:WORK_END])

    def publish(self) -> None:
        """Show all that was counted."""
        if self._row is not None:
            with self._lock:
                self._count_tokens()
                numbers = array("d", self._numbers)
            for start, end in PUBLISHED:
                self._row[start:end] = memoryview(numbers)[start:end]

    def computed(self, tokens: int, windows: int = 1, truncated: bool = False, texts: int = 1) -> None:
        """A text has its result. ``windows``: how many it had, of so many ``tokens`` together.

        ``texts``: so many of one window each have theirs.
        """
        if windows == texts == 1 and not truncated:
            # PERF: most texts. No lock is needed to add to a list, and they are counted together.
            self._tokens.append(tokens)
            return
        with self._lock:
            numbers = self._numbers
            numbers[TEXTS_START] += texts
            numbers[TOKENS_START] += tokens
            if windows > 1:
                numbers[CHUNKED.start] += 1
            if truncated:
                numbers[TRUNCATED.start] += 1

    def ran(self, seconds: float, runs: int = 1) -> None:
        """The model has run so many times in a row, for so long each on average."""
        with self._lock:
            for _ in range(runs):
                observe(self._numbers, RUN_SECONDS.start, seconds)

    def queued(self) -> None:
        """A job waits to be begun."""
        with self._lock:
            self._numbers[QUEUED.start] += 1

    def dropped(self) -> None:
        """A job that was not begun waits no more: nobody wants its result."""
        with self._lock:
            self._numbers[QUEUED.start] -= 1

    def taken(self, seconds: float) -> None:
        """An inference thread has begun a job that waited so long."""
        with self._lock:
            self._numbers[QUEUED.start] -= 1
            observe(self._numbers, QUEUE_SECONDS.start, seconds)

    def coalesced(self) -> None:
        """A text shares the job of another one."""
        self._count(COALESCED.start)

    def missed(self) -> None:
        """A request was not begun before its deadline."""
        self._count(MISSED.start)

    def looked_up(self, is_hit: bool) -> None:
        """A text was looked for among recent ones."""
        self._count(CACHE_HITS.start if is_hit else CACHE_MISSES.start)

    @contextmanager
    def pending(self, characters: int, texts: int = 1) -> Iterator[None]:
        """So many texts, of so many characters together, wait or are computed. Belongs to the event loop's thread."""
        tokens = texts + characters // CHARACTERS_PER_TOKEN
        numbers = self._numbers
        numbers[PENDING.start] += texts
        numbers[PENDING_TOKENS.start] += tokens
        try:
            yield
        finally:
            numbers[PENDING.start] -= texts
            numbers[PENDING_TOKENS.start] -= tokens

    def _count_tokens(self) -> None:
        """Count the texts whose tokens are known. Others may come meanwhile, and stay for the next time."""
        texts = len(self._tokens)
        self._numbers[TEXTS_START] += texts
        self._numbers[TOKENS_START] += sum(self._tokens[:texts])
        del self._tokens[:texts]

    def _count(self, start: int) -> None:
        with self._lock:
            self._numbers[start] += 1
