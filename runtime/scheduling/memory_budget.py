"""Lends memory to concurrent runs, so that together they stay within a total."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class MemoryBudget:
    """A total that is leased in parts, first come, first served, so that small leases do not starve a large one.

    Thread-safe.
    """

    def __init__(self, total_bytes: int) -> None:
        self._total = total_bytes
        # The condition guards the two below it.
        self._changed = threading.Condition()
        self._leased = 0
        self._waiters: deque[object] = deque()

    @property
    def leased(self) -> int:
        """Bytes on loan."""
        with self._changed:
            return self._leased

    @property
    def waiting(self) -> int:
        """How many threads wait for a lease."""
        with self._changed:
            return len(self._waiters)

    @contextmanager
    def lease(self, bytes: int) -> Iterator[None]:
        """Hold that much memory; wait until it is free. More than the total is lent only while nothing else is.

        A thread that holds a lease must not ask for another: it could wait for itself.
        """
        self._acquire(bytes)
        try:
            yield
        finally:
            with self._changed:
                self._leased -= bytes
                self._changed.notify_all()

    def can_hold(self, bytes: int) -> bool:
        """Whether that much is within the total, so that it can be lent beside other leases."""
        return bytes <= self._total

    def _acquire(self, bytes: int) -> None:
        with self._changed:
            if self._waiters or not self._fits(bytes):
                ticket = object()
                self._waiters.append(ticket)
                self._changed.wait_for(lambda: self._waiters[0] is ticket and self._fits(bytes))
                self._waiters.popleft()
                # The next waiter may fit beside this one.
                self._changed.notify_all()
            self._leased += bytes

    def _fits(self, bytes: int) -> bool:
        return self._leased == 0 or self._leased + bytes <= self._total
