"""Tells whether other threads of Python run while something does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def longest_wait(run: Callable[[], object]) -> float:
    """How long another thread waited at most for its turn while ``run`` ran, as a part of the whole time."""
    longest, done = 0.0, threading.Event()

    def tick() -> None:
        nonlocal longest
        last = time.monotonic()
        while not done.is_set():
            time.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    ticker = threading.Thread(target=tick)
    ticker.start()
    start = time.monotonic()
    run()
    took = time.monotonic() - start
    done.set()
    ticker.join()
    return longest / took
