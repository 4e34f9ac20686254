"""A command's errors are passed on as they come, on a terminal and elsewhere, and their end is remembered."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from build.image.terminal import REMEMBERED_BYTES
from tests.support.paths import ROOT

WATCH = """
import os, sys
from pathlib import Path
from build.image.terminal import run_and_watch
status, end = run_and_watch([sys.executable, "-c", sys.argv[1]], Path("/"), {"PATH": os.defpath, "NAME": "a value"})
print(status, repr(end))
"""


def watch(program: str, errors: int) -> str:
    """What a process says about a program that it watches; its standard error is the descriptor ``errors``."""
    command = [sys.executable, "-c", WATCH, program]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, check=True).stdout


def read_to_end(descriptor: int) -> bytes:
    found = b""
    try:
        while chunk := os.read(descriptor, 1 << 16):
            found += chunk
    except OSError:  # how Linux ends a terminal
        pass
    return found


def test_elsewhere_the_command_has_a_pipe(tmp_path: Path):
    program = (
        "import os, sys; print(os.environ['NAME'], os.getcwd(), sys.stderr.isatty(), file=sys.stderr); sys.exit(3)"
    )
    with (tmp_path / "errors").open("wb") as errors:
        assert watch(program, errors.fileno()) == "3 'a value / False\\n'\n"
    assert (tmp_path / "errors").read_text() == "a value / False\n"


def test_on_a_terminal_the_command_has_one_of_the_same_size():
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (33, 77))
    program = (
        "import os, sys; size = os.get_terminal_size(2)\n"
        "print('\\x1b[31m\\x1b[2K', sys.stderr.isatty(), size.lines, size.columns, '\\x1b[0m', file=sys.stderr)"
    )
    try:
        assert watch(program, theirs) == "0 ' True 33 77 \\n'\n"
    finally:
        os.close(theirs)
    assert b"\x1b[31m\x1b[2K True 33 77 \x1b[0m\r\n" in read_to_end(ours)
    os.close(ours)


@pytest.mark.parametrize("size", [10, REMEMBERED_BYTES + 10])
def test_only_the_end_is_remembered_and_everything_is_passed_on(tmp_path: Path, size: int):
    program = f"import sys; sys.stderr.write('x' * {size} + 'end')"
    with (tmp_path / "errors").open("wb") as errors:
        remembered = watch(program, errors.fileno())
    assert remembered.endswith("xend'\n")
    assert remembered.count("x") == min(size, REMEMBERED_BYTES - len("end"))
    assert (tmp_path / "errors").stat().st_size == size + len("end")
