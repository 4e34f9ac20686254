"""The priority of threads: those that compute give way to the one that answers."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

NICER = 5
"""Added to the nice value, which gives a thread a third of the weight. The event loop then gets a core when it needs
one, and a neighbor outside a container still does not starve the inference."""

LOWEST = 19

T = TypeVar("T")


def lower_priority() -> None:
    """Lower the priority of the calling thread, for good. Threads that it starts inherit it."""
    # NOTE: Linux keeps a nice value for each thread, by its own id. A sandbox may refuse to change it.
    with contextlib.suppress(OSError):
        own = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, own, min(LOWEST, os.getpriority(os.PRIO_PROCESS, own) + NICER))


def at_lower_priority(call: Callable[[], T]) -> T:
    """Return what ``call`` returns on a thread of lower priority, which the threads that it starts inherit."""
    with ThreadPoolExecutor(1, initializer=lower_priority) as executor:
        return executor.submit(call).result()
