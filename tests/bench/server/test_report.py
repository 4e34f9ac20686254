"""What the server benchmark prints and saves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.load.loads import Group, loads_in
from bench.process_tree import Memory
from bench.report.machine import Machine
from bench.server.report import render
from bench.server.results import Results, Sample, Settings, SystemResult, save
from bench.server.system import BASE, CPU2VEC, INCUMBENT, STUB
from bench.text.loads import TEXT_LOADS
from manifest import CosineFigures, Fidelity


def sample(rate: float, p50: float = 2.0) -> Sample:
    return Sample(
        requests_per_second=rate,
        p50_ms=p50,
        p99_ms=2 * p50,
        max_ms=3 * p50,
        requests=round(rate),
        seconds=1.0,
        cpu_ms_per_request=1.0,
        others_cpu_percent=0.0,
    )


def system(
    name: str, factor: float, others: float = 0.0, rates: Sequence[float] = (90.0, 100.0, 120.0)
) -> SystemResult:
    samples = [Sample(**{**vars(sample(rate * factor, 8 / factor)), "others_cpu_percent": others}) for rate in rates]
    return SystemResult(
        name=name,
        about=f"about {name}",
        versions={"numpy": "2.0"},
        start_seconds=[4.0 / factor],
        memory_after_start=Memory(rss_mb=400 / factor, pss_mb=390 / factor),
        memory_after_load=Memory(rss_mb=500 / factor, pss_mb=490 / factor),
        idle_cpu_percent=0.25,
        fidelity=Fidelity(CosineFigures(count=2, mean=0.99, p1=0.98, minimum=0.97)),
        samples={load.name: samples for load in loads_in(TEXT_LOADS, {Group.KEPT})},
    )


def results(others: float = 0.0) -> Results:
    return Results(
        date="2026-01-02T03:04:05+00:00",
        commit="abc",
        model="stub/model",
        baseline=INCUMBENT,
        machine=Machine("A CPU", "x86_64", 2, ("avx2",), "6.1", "3.11", 0.1),
        settings=Settings(rounds=3, seconds=1.0, starts=1, idle_seconds=1.0),
        loads=list(TEXT_LOADS),
        systems=[system(INCUMBENT, 1.0, others), system(CPU2VEC, 4.0, others)],
    )


class TestReport:
    def test_shows_medians_and_ratios_to_the_baseline(self):
        lines = render(results()).splitlines()
        incumbent, ours = [line for line in lines if "80–120 words, 8 connections" in line]
        assert [cell.strip() for cell in incumbent.split("|")[2:7]] == [INCUMBENT, "100", "8.00", "16.00", "1.00"]
        assert [cell.strip() for cell in ours.split("|")[2:5]] == ["cpu2vec", "400 (4.00 ×)", "2.00 (0.25 ×)"]
        costs = next(line for line in lines if line.startswith("| cpu2vec"))
        assert [cell.strip() for cell in costs.split("|")[2:5]] == ["1.00 (0.25 ×)", "100 (0.25 ×)", "125 (0.25 ×)"]
        assert "WARNING" not in render(results())

    @pytest.mark.parametrize(
        ("rate", "shown"), [(0.0, "0"), (0.0123, "0.012"), (0.131, "0.13"), (1.04, "1.0"), (9.96, "10.0"), (10.4, "10")]
    )
    def test_a_low_rate_keeps_two_digits(self, rate: float, shown: str):
        slow = replace(results(), systems=[system(CPU2VEC, 1.0, rates=[rate])])
        row = next(line for line in render(slow).splitlines() if "80–120 words, 8 connections" in line)
        assert row.split("|")[3].strip() == shown

    def test_without_the_baseline_shows_no_ratio(self):
        alone = Results(**{**vars(results()), "systems": results().systems[1:]})
        assert "×" not in render(alone)

    def test_warns_where_others_used_the_machine(self):
        assert "WARNING: in 42 of 42 samples" in render(results(others=20.0))

    def test_the_file_holds_everything(self, tmp_path: Path):
        path = tmp_path / "deep" / "figures.json"
        save(results(), path)
        saved = json.loads(path.read_text(encoding="utf-8"))
        fields = {"date", "commit", "model", "baseline", "machine", "settings", "loads", "systems", "ops_ms"}
        assert set(saved) == fields
        assert saved["machine"]["flags"] == ["avx2"]
        assert saved["settings"]["rounds"] == 3
        system = saved["systems"][1]
        assert system["memory_after_load"] == {"rss_mb": 125, "pss_mb": 122.5}
        assert [each["requests_per_second"] for each in system["samples"]["long-8"]] == [360, 400, 480]


class TestBatches:
    def rows(self, ops_ms: dict[str, list[float]] | None = None) -> list[list[str]]:
        """The cells of the table, a row for each load; 100 requests a second take 1 ms of CPU time each."""
        loads = loads_in(TEXT_LOADS, {Group.BATCHES})
        ours = replace(system(CPU2VEC, 1.0), samples={load.name: [sample(100.0)] * 3 for load in loads})
        shown = render(replace(results(), systems=[ours], ops_ms=ops_ms or {}))
        assert "requests/s" not in shown, "there is no table by request"
        batches = next(part for part in shown.split("\n\n") if part.startswith("| texts in a request"))
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in batches.splitlines()[2:]]

    def test_are_shown_by_text(self):
        shown = {row[0]: row[2:4] for row in self.rows()}
        assert shown["/vectors, 1 text a request, 8 connections"] == ["100", "1000"]
        assert shown["/v1/embeddings, 32 texts a request, 8 connections"] == ["3200", "31"]
        assert shown["the same in base64, 512 texts a request, 4 connections"] == ["51200", "2.0"]

    def test_have_what_is_outside_the_ops_where_these_are_known(self):
        rows = self.rows({"batches-openai-float-32-8": [0.36, 0.2, 0.4]})
        known = {row[0]: row[4] for row in rows if row[4] != "–"}
        assert known == {"/v1/embeddings, 32 texts a request, 8 connections": "20"}

    def test_without_such_loads_there_is_no_such_table(self):
        assert "texts in a request" not in render(results())


class TestLosses:
    def rows(self, **samples: list[Sample]) -> list[list[str]]:
        """The cells of the table, a row for each load of ours; underscores stand for hyphens."""
        ours = replace(
            system(CPU2VEC, 1.0), samples={name.replace("_", "-"): values for name, values in samples.items()}
        )
        parts = render(replace(results(), systems=[system(INCUMBENT, 1.0), ours])).split("\n\n")
        losses = next(part for part in parts if "goodput/s" in part)
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in losses.splitlines()[2:]]

    def test_are_those_of_all_rounds_with_their_reasons(self):
        first = replace(sample(90.0), sent=2000, lost={"refused": 7, "status 503": 900})
        second = replace(sample(110.0), sent=1234, lost={"refused": 1, "timeout": 300})
        ((load, name, goodput, share, lost, sent, *_),) = self.rows(restart_short_160=[first, second])
        assert (load, name) == ("6–20 words, 160 in flight, a restart", CPU2VEC)
        assert (goodput, share) == ("100.0", "–")
        assert (lost, sent) == ("1,208 (status 503 900, timeout 300, refused 8)", "3,234")

    def test_goodput_is_compared_with_that_of_8_in_flight_and_the_same_length(self):
        rows = self.rows(
            weaviate_short_8=[replace(sample(400.0), sent=400)],
            weaviate_8kb_8=[replace(sample(20.0), sent=20)],
            overload_8kb_640=[replace(sample(15.0), sent=15)],
        )
        assert [row[2:6] for row in rows] == [
            ["400.0", "100 %", "0", "400"],
            ["20.0", "100 %", "0", "20"],
            ["15.0", "75 %", "0", "15"],
        ]

    def test_a_load_without_an_answer_has_no_latency(self):
        nothing = Sample(0.0, 0.0, 0.0, 0.0, 0, 75.0, 0.0, 0.0, sent=640, lost={"timeout": 640}, silence_seconds=75.0)
        ((*_, p50, p99, cpu, silence),) = self.rows(overload_8kb_640=[nothing])
        assert (p50, p99, cpu, silence) == ("–", "–", "–", "75.00")

    def test_without_such_loads_there_is_no_such_table(self):
        assert "goodput" not in render(results())


class TestAgainstAnotherCheckout:
    def rows(self, ours: Sequence[float], base: Sequence[float]) -> list[list[str]]:
        """The cells of the table, a row for each load."""
        systems = [system(CPU2VEC, 1.0, rates=ours), system(BASE, 1.0, rates=base)]
        parts = render(replace(results(), systems=systems, baseline=BASE)).split("\n\n")
        beside = next(part for part in parts if part.startswith("| cpu2vec beside base"))
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in beside.splitlines()[2:]]

    def test_ratios_are_those_of_the_rounds(self):
        rows = self.rows(ours=(100, 90, 120), base=(100, 100, 100))
        assert [row[0] for row in rows] == [str(load) for load in loads_in(TEXT_LOADS, {Group.KEPT})]
        assert all(
            row[1:] == ["1.000", "0.900", "1.200", "1.000", "1.000", "30 %", "within the spread"] for row in rows
        )

    @pytest.mark.parametrize(
        ("ours", "verdict"),
        [((93, 94, 95), "slower"), ((96, 98, 100), "within the spread"), ((106, 107, 108), "faster")],
    )
    def test_the_verdict_depends_on_the_larger_spread(self, ours: Sequence[float], verdict: str):
        assert {row[-1] for row in self.rows(ours, base=(98, 100, 102))} == {verdict}

    def test_one_round_has_no_spread_and_no_verdict(self):
        assert self.rows(ours=(100,), base=(50,))[0][1:] == ["2.000", "2.000", "2.000", "1.000", "1.000", "–", "–"]

    def test_without_the_other_checkout_there_is_no_such_table(self):
        assert "beside base" not in render(results())


OPS_MS = {"short-8": [0.25, 0.5, 0.75], "long-1": [0.875] * 3}


class TestOutsideTheOps:
    def rows(self, base: float | None) -> list[list[str]]:
        """The cells of the table, a row for each load; each of our requests takes 1 ms, and one of base as stated."""
        ours, other = system(CPU2VEC, 1.0), system(BASE, 1.0)
        for samples in other.samples.values():
            samples[:] = [replace(each, cpu_ms_per_request=base or 1.0) for each in samples]
        systems = [other, ours] if base else [ours]
        parts = render(replace(results(), systems=systems, ops_ms=OPS_MS)).split("\n\n")
        outside = next(part for part in parts if part.startswith("| CPU ms per request outside the ops"))
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in outside.splitlines()]

    def test_is_what_is_left_without_the_median_of_the_ops(self):
        header, _, *rows = self.rows(base=None)
        assert header[1:] == ["ops alone", CPU2VEC, "× base"]
        assert rows == [
            ["6–20 words, 8 connections", "0.50", "0.50", "–"],
            ["80–120 words, 1 connection", "0.88", "0.12", "–"],
        ]

    def test_is_divided_by_that_of_the_other_checkout(self):
        header, _, *rows = self.rows(base=1.5)
        assert header[2:] == [CPU2VEC, BASE, "× base"]
        assert [row[2:] for row in rows] == [["0.50", "1.00", "0.50"], ["0.12", "0.62", "0.20"]]

    def test_has_no_ratio_where_nothing_is_left_to_divide_by(self):
        assert self.rows(base=0.5)[2][2:] == ["0.50", "0.00", "–"]

    def test_without_the_ops_there_is_no_such_table(self):
        assert "outside the ops" not in render(results())


class TestBelowTheHttpServerAlone:
    def test_ratios_are_those_of_the_rounds(self):
        stub = replace(system(STUB, 1.0, rates=(200, 200, 240)), fidelity=None)
        both = replace(results(), systems=[system(CPU2VEC, 1.0, rates=(100, 150, 240)), stub])
        parts = render(both).split("\n\n")
        beside = next(part for part in parts if part.startswith("| cpu2vec beside stub"))
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in beside.splitlines()[2:]]
        assert [row[0] for row in rows] == [str(load) for load in loads_in(TEXT_LOADS, {Group.KEPT})]
        assert all(row[1:4] == ["0.750", "0.500", "1.000"] for row in rows)

    def test_a_system_without_a_model_has_no_cosine(self):
        stub = replace(system(STUB, 1.0), fidelity=None)
        both = render(replace(results(), systems=[stub, system(CPU2VEC, 1.0)])).splitlines()
        costs = next(line for line in both if "0.2 %" in line and STUB in line)
        assert [cell.strip() for cell in costs.strip("|").split("|")][-3:] == ["–", "–", "–"]

    def test_nothing_is_compared_where_no_system_has_a_model(self):
        stub = replace(system(STUB, 1.0), fidelity=None)
        costs = next(line for line in render(replace(results(), systems=[stub])).splitlines() if "0.2 %" in line)
        assert costs.strip("| ").endswith("0.2 %")

    def test_without_it_there_is_no_such_table(self):
        assert "beside stub" not in render(results())
