"""The kernels' benchmark: it says where it ran, and refuses what does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.kernels.__main__ import main
from bench.report.machine import describe_machine
from tests.support.graphs.kernel_ops import available
from tests.support.graphs.kernel_programs import build_once


def test_the_output_names_the_machine_and_how_busy_it_was(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bench.kernels.__main__.build_program", build_once)
    isa = available()[0]
    assert main([isa]) == 0
    date, machine, ceiling, *rows, others = capfd.readouterr().out.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00, commit \S+", date)
    assert machine.startswith(f"{describe_machine().cpu}, ")
    assert re.search(r"; one core is used; load average before: \d+\.\d\d$", machine)
    assert re.fullmatch(rf"{isa}: \d+ GOPS on registers alone", ceiling)
    assert any("% of peak" in row for row in rows)
    assert re.search(r"other processes used \d+ % of the cores", others)


def test_an_instruction_set_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["avx1024"])
    assert caught.value.code == 2
    assert re.search(r"must be one of .*scalar, not 'avx1024'", capsys.readouterr().err)


def test_kernels_that_do_not_compile_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("build.kernels.ROOT", tmp_path)  # without sources
    assert main([]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("bench: ")
