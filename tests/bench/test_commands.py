"""Every benchmark's command line, as users start it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.paths import ROOT

COMMANDS = (
    "bench",
    "bench.kernels",
    "bench.models",
    "bench.models.random_model",
    "bench.models.working_memory",
    "bench.precisions",
    "bench.rerank.pairs",
    "bench.workers",
)


def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", command, *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_examples(command: str):
    ran = run(command, "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"usage: python -m {command} [-h]")
    examples = [line for line in ran.stdout.splitlines() if line.startswith("  .venv/build/bin/python -m ")]
    assert any(f" {command} " in line for line in examples)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_named(command: str):
    ran = run(command, "--what")
    assert ran.returncode == 2
    assert "error: " in ran.stderr
    assert "Traceback" not in ran.stderr
