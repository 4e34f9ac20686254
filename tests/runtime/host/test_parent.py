"""The tie between a process and its parent, with real processes."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from tests.support.paths import ROOT

PROGRAM = """
import os, signal, sys, time
from runtime.host.parent import end_with_parent
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
parent = os.getpid()
if os.fork():
    os.read(0, 1)
    os._exit(0)
print("forked", flush=True)
{before}
end_with_parent(parent)
print("tied", flush=True)
print(signal.sigwait([signal.SIGTERM]).name, flush=True)
"""
"""A process and its child, which shares its output."""


@contextmanager
def family(before: str = "pass") -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """The parent, and the output of its child, which has started."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        cwd=ROOT,
        env={"PATH": os.defpath},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdout.readline() == b"forked\n"
        yield process, process.stdout


def test_the_child_gets_sigterm_when_its_parent_is_killed():
    with family() as (parent, output):
        assert output.readline() == b"tied\n"
        parent.kill()
        assert output.readline() == b"SIGTERM\n"


def test_a_parent_that_has_ended_before_counts_too():
    with family(before="while os.getppid() == parent: time.sleep(0.001)") as (parent, output):
        parent.kill()
        parent.wait()
        assert output.readline() == b"tied\n"
        assert output.readline() == b"SIGTERM\n"


def test_nothing_happens_while_the_parent_lives():
    with family() as (parent, output):
        assert output.readline() == b"tied\n"
        assert select.select([output], [], [], 0.2)[0] == []
        parent.kill()
        assert output.readline() == b"SIGTERM\n"
