"""The mark that a worker sets and its master reads."""

from __future__ import annotations

import os
import time

from gunicorn.config import Config
from gunicorn.workers.base import Worker

from runtime.server.ready_mark import ReadyMark, replace_heartbeat_files


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


def test_a_heartbeat_is_not_readiness():
    mark = ReadyMark()
    mark.notify()
    assert mark.ready_at is None
    assert mark.last_update() <= time.monotonic()
    mark.close()


def test_gunicorns_workers_get_one():
    replace_heartbeat_files()
    worker = Worker(1, os.getpid(), [], None, 0, Config(), None)
    assert isinstance(worker.tmp, ReadyMark)
    worker.tmp.close()
    worker.tmp.close()
