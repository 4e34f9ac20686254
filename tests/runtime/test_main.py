"""The server's command line: it takes no arguments."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT


@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("-h", 0), ("--port", 2)])
def test_arguments_are_answered_with_the_list_of_settings(argument: str, status: int):
    command = [sys.executable, "-W", "error", "-m", "runtime", argument]
    result = subprocess.run(command, cwd=ROOT, env={"PATH": os.defpath}, capture_output=True, text=True)
    shown, other = (result.stdout, result.stderr) if status == 0 else (result.stderr, result.stdout)
    assert (result.returncode, other) == (status, "")
    assert shown.startswith("cpu2vec is configured by environment variables and takes no arguments:\n  BUNDLE_DIR ")
