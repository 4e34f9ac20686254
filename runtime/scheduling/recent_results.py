"""Keeps recent results, bounded in bytes and in age."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

Value = TypeVar("Value")


class _Entry(NamedTuple, Generic[Value]):
    value: Value
    size: int
    since: float


class RecentResults(Generic[Value]):
    """Results by key; the one that was not used for the longest time makes way. Belongs to one thread."""

    def __init__(self, max_bytes: int, max_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes, self._max_seconds, self._clock = max_bytes, max_seconds, clock
        # The least recently used one is first.
        self._entries: OrderedDict[Hashable, _Entry[Value]] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes in use, as stated by those who put them."""
        return self._size

    def get(self, key: Hashable) -> Value | None:
        """The result; None if there is none or it is too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() - entry.since >= self._max_seconds:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    def put(self, key: Hashable, value: Value, size: int) -> None:
        """Keep the result; ``size``: bytes of key and result. One larger than all that may be kept is not kept."""
        if key in self._entries:
            self._drop(key)
        if size > self._max_bytes:
            return
        self._entries[key] = _Entry(value, size, self._clock())
        self._size += size
        while self._size > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Hashable) -> None:
        self._size -= self._entries.pop(key).size
