"""The priority of threads: lowered for one thread and for those that it starts, for no other."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from runtime.host.priority import LOWEST, NICER, at_lower_priority, lower_priority


def nice() -> int:
    """The nice value of the calling thread: Linux keeps one for each."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def on_a_thread(call):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def test_a_thread_lowers_its_own_priority_and_no_other():
    before = nice()

    def lowered() -> int:
        lower_priority()
        return nice()

    assert on_a_thread(lowered) == min(LOWEST, before + NICER)
    assert nice() == before


def test_threads_that_it_starts_inherit_the_priority():
    before = nice()
    assert at_lower_priority(nice) == min(LOWEST, before + NICER)
    assert at_lower_priority(lambda: on_a_thread(nice)) == min(LOWEST, before + NICER)


def test_there_is_a_lowest_priority():
    def lowered() -> int:
        for _ in range(10):
            lower_priority()
        return nice()

    assert on_a_thread(lowered) == LOWEST


def test_an_error_reaches_the_caller():
    def fail() -> None:
        raise ValueError("in the call")

    with pytest.raises(ValueError, match="in the call"):
        at_lower_priority(fail)
