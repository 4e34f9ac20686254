"""A minute of the soak, with real servers that replace one another: checked for loss, wrong answers and growth."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.soak.callers.crowd import Caller
from bench.soak.report import render
from bench.soak.results import INTERRUPTED, Soak, load
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.signals import restore_signals

pytestmark = pytest.mark.system

FEW = "--in-flight=16"
"""So few that a machine of a tenth of the speed answers them within Weaviate's 50 s."""


def command(bundle: Path, output: Path, *options: str) -> list[str]:
    words = ["-m", "bench.soak", f"--bundle={bundle}", f"--output={output}", FEW, *options]
    return [sys.executable, *words]


def test_in_a_minute_with_replacements_nothing_is_lost_and_nothing_grows(default_bundle: Path, tmp_path: Path):
    output = tmp_path / "soak.json"
    run = command(default_bundle, output, "--duration=60s", "--restart-every=20s")
    ended = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    soak = load(output)
    assert [server.number for server in soak.servers] == [1, 2, 3]
    assert (soak.losses.lost, soak.losses.wrong) == ({}, 0)
    assert_all_took_part(soak)


def test_ctrl_c_reports_what_was_measured(default_bundle: Path, tmp_path: Path):
    output = tmp_path / "soak.json"
    with subprocess.Popen(
        command(default_bundle, output, "--duration=24m"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restore_signals,
    ) as process:
        assert process.stderr is not None
        try:
            while " of 1440 s, " not in (line := process.stderr.readline()):  # it has looked at the load once
                assert line, "it ended"
            process.send_signal(signal.SIGINT)
            printed, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 130, printed
    soak = load(output)
    assert soak.stopped_by == INTERRUPTED
    assert printed.strip() == render(soak)
    assert output.with_suffix(".svg").is_file()


def assert_all_took_part(soak: Soak) -> None:
    assert soak.compared > 0
    assert soak.left > 0
    for caller in (Caller.WEAVIATE, Caller.SENDER, Caller.READER):
        assert soak.callers[caller].answered > 0
