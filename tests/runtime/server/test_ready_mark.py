"""The mark that a worker sets and its master reads."""

from __future__ import annotations

import os
import time

from runtime.server.ready_mark import ReadyMark


def test_a_new_mark_is_not_set():
    mark = ReadyMark()
    assert mark.ready_at is None
    mark.close()


def test_what_a_forked_process_sets_its_parent_reads():
    mark, before = ReadyMark(), time.monotonic()
    pid = os.fork()
    if pid == 0:
        mark.set()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert mark.ready_at is not None
    assert before <= mark.ready_at <= time.monotonic()
    mark.close()


def test_it_can_be_closed_twice():
    mark = ReadyMark()
    mark.close()
    mark.close()
