"""Signals for processes that tests start."""

from __future__ import annotations

import signal


def restore_signals() -> None:
    """Undo what a shell does to processes in the background, and nohup to all: they ignore SIGINT and SIGHUP.

    To be run in a child before its program, as ``preexec_fn``.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
