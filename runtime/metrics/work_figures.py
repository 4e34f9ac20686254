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
    observe,
)

CHARACTERS_PER_TOKEN = 4
"""Of English prose."""


class WorkFigures:
    """Thread-safe. Until it is opened, what is counted is not shown: golden requests are no work."""

    def __init__(self) -> None:
        self._row: memoryview[float] = memoryview(array("d", bytes(8 * WORK_END)))
        self._lock = threading.Lock()

    def open(self, row: memoryview[float]) -> None:
        """Count in this row from now on."""
        with self._lock:
            self._row = row

    def computed(self, tokens: int, windows: int = 1, truncated: bool = False) -> None:
        """A text has its result. ``windows``: how many it had, of so many ``tokens`` together."""
        with self._lock:
            row = self._row
            row[TEXTS.start] += 1
            row[TOKENS.start] += tokens
            if windows > 1:
                row[CHUNKED.start] += 1
            if truncated:
                row[TRUNCATED.start] += 1

    def ran(self, seconds: float) -> None:
        """The model has run once."""
        with self._lock:
            observe(self._row, RUN_SECONDS.start, seconds)

    def queued(self) -> None:
        """A job waits to be begun."""
        with self._lock:
            self._row[QUEUED.start] += 1

    def dropped(self) -> None:
        """A job that was not begun waits no more: nobody wants its result."""
        with self._lock:
            self._row[QUEUED.start] -= 1

    def taken(self, seconds: float) -> None:
        """An inference thread has begun a job that waited so long."""
        with self._lock:
            self._row[QUEUED.start] -= 1
            observe(self._row, QUEUE_SECONDS.start, seconds)

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
        row = self._row
        row[PENDING.start] += texts
        row[PENDING_TOKENS.start] += tokens
        try:
            yield
        finally:
            row[PENDING.start] -= texts
            row[PENDING_TOKENS.start] -= tokens

    def _count(self, start: int) -> None:
        with self._lock:
            self._row[start] += 1
