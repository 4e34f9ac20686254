"""A fork is a process like any other: else the tests that run programs as forks would prove less than they say."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.programs.forks import Forks

pytestmark = pytest.mark.slow

TELL = """
import json, os, signal, sys
handlers = {name: str(signal.getsignal(getattr(signal, name))) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE")}
print(json.dumps([__name__, sys.argv, os.getcwd(), dict(os.environ), handlers, len(os.listdir("/proc/self/fd"))]))
print("a line", file=sys.stderr)
sys.exit(7)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "program.py"


def test_has_its_own_arguments_environment_directory_streams_and_status(forks: Forks, program: Path, tmp_path: Path):
    program.write_text(TELL)
    result = forks.run([program, "--one", 2], {"ONLY": "this"}, directory=tmp_path)
    name, arguments, directory, environment, handlers, descriptors = json.loads(result.stdout)
    assert (name, arguments, directory) == ("__main__", [str(program), "--one", "2"], str(tmp_path))
    assert {key: value for key, value in environment.items() if key != "LC_CTYPE"} == {"ONLY": "this"}
    assert "default_int_handler" in handlers["SIGINT"]
    assert {handlers["SIGTERM"], handlers["SIGHUP"]} == {str(signal.SIG_DFL)}
    assert handlers["SIGPIPE"] == str(signal.SIG_IGN), "as the interpreter does"
    assert descriptors == 4, "three streams, and the directory that is listed"
    assert (result.stderr, result.returncode) == ("a line\n", 7)


def test_an_error_is_a_traceback_and_status_1(forks: Forks, program: Path):
    program.write_text("raise ValueError('no such thing')\n")
    result = forks.run([program], {})
    assert (result.stdout, result.returncode) == ("", 1)
    assert result.stderr.endswith("ValueError: no such thing\n")


@pytest.mark.parametrize(
    ("end", "status", "error"),
    [("", 0, ""), ("sys.exit()", 0, ""), ("sys.exit(258)", 2, ""), ("sys.exit('no more')", 1, "no more\n")],
)
def test_it_ends_after_its_threads_and_exit_functions_and_all_is_written(
    forks: Forks, program: Path, end: str, status: int, error: str
):
    thread = "threading.Thread(target=lambda: (threading.main_thread().join(), print('thread'))).start()"
    program.write_text(f"import atexit, sys, threading\natexit.register(print, 'exit function')\n{thread}\n{end}\n")
    result = forks.run([program], {})
    assert (result.stdout, result.stderr, result.returncode) == ("thread\nexit function\n", error, status)


def test_a_signal_is_its_status(forks: Forks, program: Path):
    program.write_text("print('begun', flush=True)\nimport signal\nsignal.pause()\n")
    with forks.started([program], {}) as fork:
        assert fork.stdout.readline() == "begun\n"
        assert fork.poll() is None
        fork.send_signal(signal.SIGTERM)
        assert fork.communicate() == ("", "")
    assert fork.returncode == fork.poll() == -signal.SIGTERM


def test_two_run_at_once_and_leave_the_next_one_as_it_was(forks: Forks, program: Path, tmp_path: Path):
    program.write_text("import sys\nsys.modules['manifest'].SCHEMA = sys.stdin = None\nprint(input)\n")
    with forks.started([program], {}, directory=tmp_path) as one, forks.started([program], {}) as other:
        assert one.pid != other.pid
        assert one.communicate() == other.communicate()
    program.write_text("import os, manifest\nprint(manifest.SCHEMA, os.getcwd())\n")
    said = forks.run([program], {}).stdout
    assert said.split() == [said.split()[0], str(ROOT)]
    assert said.split()[0].isdigit()
