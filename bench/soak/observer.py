"""Looks at memory and file descriptors of all servers that run, once a second, from a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench import process_tree
from bench.soak.fleet import Life

LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Look:
    """One server with all of its processes, at one moment."""

    at: float
    """By ``time.perf_counter``, or in seconds since ``since``."""
    server: int
    """Its number."""
    rss_mb: float
    pss_mb: float
    descriptors: int
    processes: int

    def since(self, start: float) -> Look:
        """The same, with the time from ``start`` on."""
        return replace(self, at=self.at - start)


class Observer:
    """Looks from ``start`` to ``stop``; ``looks`` may be read in the meantime."""

    def __init__(self, running: Callable[[], Sequence[Life]], after: Callable[[], None]) -> None:
        """``after`` is called after each look at all of them."""
        self.looks: list[Look] = []
        self._running, self._after = running, after
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="observer")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_SECONDS):
            self.looks += [found for life in self._running() if (found := look(life)) is not None]
            self._after()


def look(life: Life) -> Look | None:
    """None if it is about to end."""
    pids = process_tree.tree(life.server.pid)
    memory = process_tree.memory(pids)
    descriptors = process_tree.descriptors(pids)
    if not memory.rss_mb or not descriptors:
        return None
    return Look(time.perf_counter(), life.number, memory.rss_mb, memory.pss_mb, descriptors, len(pids))
