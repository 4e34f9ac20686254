"""Runs a command whose errors are shown at once, as the command writes them, and remembered for a message."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
import tty
from collections.abc import Mapping, Sequence
from pathlib import Path

REMEMBERED_BYTES = 1 << 16
"""Only the end of the output is remembered."""

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
"""Sequences that move a terminal's cursor or set its colors."""


def run_and_watch(command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a command; return its status and the end of its standard error, without control sequences.

    Where our standard error is a terminal, so is the command's: Docker draws its progress on terminals alone.
    """
    ours, commands = _terminal() if sys.stderr.isatty() else os.pipe()
    try:
        with subprocess.Popen(command, cwd=directory, env=environment, stderr=commands) as process:
            os.close(commands)
            try:
                end = _copy(ours)
            except BaseException:
                process.kill()
                raise
        return process.returncode, CONTROL.sub("", end.decode(errors="replace"))
    finally:
        os.close(ours)


def _terminal() -> tuple[int, int]:
    """The two ends of a new terminal as large as ours, which passes everything on unchanged."""
    ours, commands = pty.openpty()
    tty.setraw(commands)
    termios.tcsetwinsize(commands, termios.tcgetwinsize(sys.stderr.fileno()))
    return ours, commands


def _copy(source: int) -> bytes:
    """Copy to standard error until the other end is closed; return the end of it."""
    end = b""
    while chunk := _read(source):
        sys.stderr.buffer.write(chunk)
        sys.stderr.flush()
        end = (end + chunk)[-REMEMBERED_BYTES:]
    return end


def _read(source: int) -> bytes:
    try:
        return os.read(source, REMEMBERED_BYTES)
    except OSError:  # Linux reports the other end of a terminal as closed in this way.
        return b""
