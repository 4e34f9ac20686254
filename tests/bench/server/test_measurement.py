"""The whole measurement, with servers as real processes, and the command line."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import process_tree
from bench.__main__ import KINDS, main
from bench.errors import BenchError, ServerFailed
from bench.load.loads import Group, loads_in
from bench.server.measurement import measure
from bench.server.report import render
from bench.server.results import Settings, save
from bench.server.system import CPU2VEC, INCUMBENT, STUB
from bench.text.loads import TEXT_LOADS
from tests.support.server.stub_server import MODEL, stub_original, stub_system

KEPT = loads_in(TEXT_LOADS, {Group.KEPT})
QUICK = Settings(rounds=1, seconds=0.05, starts=1, idle_seconds=0.05)


class TestMeasurement:
    def test_yields_every_figure_of_every_system(self, tmp_path: Path):
        lines: list[str] = []
        systems = [stub_system(INCUMBENT), stub_system("other")]
        measured = measure(systems, MODEL, KEPT, stub_original, QUICK, lines.append)
        assert [system.name for system in measured.systems] == [INCUMBENT, "other"]
        for system in measured.systems:
            assert system.fidelity.cosine.minimum == 1
            assert len(system.start_seconds) == QUICK.starts
            assert set(system.samples) == {load.name for load in KEPT}
            assert all(len(samples) == QUICK.rounds for samples in system.samples.values())
            assert system.versions == {"numpy": np.__version__}
        assert sum("round 1/1" in line for line in lines) == 2 * len(KEPT)
        save(measured, tmp_path / "figures.json")
        assert "other" in render(measured)

    def test_a_restart_is_counted_and_the_successor_serves_on(self):
        settings, loads = replace(QUICK, seconds=0.1), loads_in(TEXT_LOADS, {Group.RESTART})
        measured = measure([stub_system("one")], MODEL, loads, stub_original, settings, lambda line: None)
        (system,) = measured.systems
        ((name, (sample,)),) = system.samples.items()
        assert name == "restart-short-160"
        assert sample.sent > sum(sample.lost.values())
        assert sample.cpu_ms_per_request > 0
        assert system.memory_after_load.rss_mb > 1
        assert "a restart" in render(measured)

    def test_a_system_without_a_model_is_compared_with_no_original(self):
        without = replace(stub_system(STUB), has_model=False)
        measured = measure([stub_system(CPU2VEC), without], MODEL, KEPT, stub_original, QUICK, lambda line: None)
        ours, stub = measured.systems
        assert ours.fidelity is not None
        assert stub.fidelity is None
        assert "cpu2vec beside stub" in render(measured)

    def test_a_system_is_put_under_its_own_loads_only(self):
        one = replace(stub_system("one"), loads=frozenset({Group.KEPT}))
        other = replace(stub_system("other"), loads=frozenset({Group.RESTART}))
        third = replace(stub_system("third"), loads=frozenset({Group.OVERLOAD}))
        loads = loads_in(TEXT_LOADS, {Group.KEPT, Group.RESTART})
        lines: list[str] = []
        measured = measure([one, other, third], MODEL, loads, stub_original, QUICK, lines.append)
        assert [set(system.samples) for system in measured.systems] == [
            {load.name for load in KEPT},
            {"restart-short-160"},
        ]
        assert not any("third" in line for line in lines), "a server without a load is not started"
        assert render(measured)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, BenchError])
    def test_stops_its_servers_however_it_ends(self, error: type[BaseException]):
        def interrupt(line: str) -> None:
            if "round 1" in line:
                raise error

        children = set(process_tree.tree(os.getpid()))
        with pytest.raises(error):
            measure([stub_system("one"), stub_system("two")], MODEL, KEPT, stub_original, QUICK, interrupt)
        assert set(process_tree.tree(os.getpid())) <= children

    def test_names_the_system_that_fails(self):
        broken = stub_system("broken", [sys.executable, "-c", "raise SystemExit('no such model')"])
        with pytest.raises(ServerFailed, match="broken: .*no such model"):
            measure([broken], MODEL, KEPT, stub_original, QUICK, lambda line: None)


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--systems", "nobody"], "a system must be one of incumbent, cpu2vec, not 'nobody'"),
            (["--systems", "cpu2vec,cpu2vec"], "named twice"),
            (["--systems", "stub"], "a system must be one of incumbent, cpu2vec, not 'stub'"),
            (["--kind", "image"], "a kind must be one of text, static, rerank, clip, not 'image'"),
            (["--kind", "rerank", "--loads", "overload"], "models of the kind rerank are not put under these loads"),
            (
                ["--kind", "rerank", "--model", "base"],
                "a model must be one of ms-marco-MiniLM-L6, bge-reranker-base, not",
            ),
            (["--kind", "rerank", "--output", "a.json"], "--output is one file for one model"),
            (["--kind", "static", "--loads", "overload"], "models of the kind static are not put under these loads"),
            (["--kind", "static", "--systems", "base"], "a system must be one of incumbent, cpu2vec, stub, not 'base'"),
            (
                ["--loads", "kept,all"],
                "loads must be among kept, slow, weaviate, overload, restart, batches, not 'all'",
            ),
            (["--loads", ""], "loads must be among kept, slow, weaviate, overload, restart, batches, not ''"),
            (["--systems", "incumbent", "--loads", "restart"], "none of the systems is put under these loads"),
            (
                ["--systems", "incumbent", "--loads", "batches", "--every-load"],
                "none of the systems is put under these loads",
            ),
            (["--kind", "static", "--systems", "stub", "--loads", "batches"], "none of the systems is put under these"),
            (["--rounds", "0"], "must be more than 0 and less than a million, not 0"),
            (["--seconds", "-1"], "must be more than 0 and less than a million, not -1"),
            (["--rounds", "some"], "argument --rounds: invalid whole number value: 'some'"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert message in capsys.readouterr().err

    def test_help_names_every_load(self, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit):
            main(["--help"])
        shown = capsys.readouterr().out
        assert all(f"  {group} " in shown and group.about in shown for group in Group)

    def test_help_names_every_kind(self, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit):
            main(["--help"])
        shown = capsys.readouterr().out
        assert all(f"  {name} " in shown and kind.about in shown for name, kind in KINDS.items())

    def test_help_names_every_system(self, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit):
            main(["--help"])
        shown = capsys.readouterr().out
        assert all(f"  {system.name} " in shown for kind in KINDS.values() for system in kind.systems)
