"""Tells whether other Python threads run while a function is in native code. Counts turns, and reads no clock."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TURNS = 100
"""Another thread must have had so many turns in one call: a lock that is released for a moment gives it one or two."""

ATTEMPTS = 100
"""The system may leave the other thread without a core during a call, but not during so many."""

NEVER = 1e6


def others_run_during(call: Callable[[], object]) -> bool:
    """Whether another thread gets the interpreter, turn after turn, while ``call`` runs.

    Python takes the interpreter from no thread meanwhile, so that the other thread has a turn only where ``call``
    releases the interpreter's lock itself.
    """
    with _no_forced_switches(), _counting() as count:
        for _ in range(ATTEMPTS):
            before = count()
            call()
            if count() - before >= TURNS:
                return True
    return False


@contextmanager
def _no_forced_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(NEVER)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


@contextmanager
def _counting() -> Iterator[Callable[[], int]]:
    """A thread that counts its turns: it offers the interpreter to the others after each."""
    turns, done = 0, False

    def count() -> None:
        nonlocal turns
        while not done:
            turns += 1
            time.sleep(0)  # releases the lock, and takes it again as soon as nobody else holds it

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield lambda: turns
    finally:
        done = True
        thread.join()
