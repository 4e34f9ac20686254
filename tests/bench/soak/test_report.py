"""What a soak prints, draws and saves, and what it fails for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.machine import Machine
from bench.report.slopes import Slope
from bench.soak.__main__ import main
from bench.soak.callers.crowd import Caller
from bench.soak.losses import Losses
from bench.soak.observer import Look
from bench.soak.plan import Plan
from bench.soak.plot import linear, logarithmic, plot
from bench.soak.report import render
from bench.soak.results import INTERRUPTED, Count, ServerResult, Soak, load, save
from bench.soak.series import Window
from bench.soak.verdict import MAX_DESCRIPTORS_LEFT, MAX_DESCRIPTORS_PER_HOUR, MAX_RSS_MB_PER_HOUR, faults

SVG = "{http://www.w3.org/2000/svg}"


def server(number: int, ready_at: float, asked_at: float | None) -> ServerResult:
    ended_at = None if asked_at is None else asked_at + 5
    left = 17 if asked_at is None else None
    return ServerResult(number, 0.5, ready_at, asked_at, ended_at, 0, 0, 140.0, 16, left)


def looks(number: int, start: int, end: int) -> list[Look]:
    return [Look(float(at), number, 150.0 + number, 100.0, 200, 2) for at in range(start, end)]


GOOD = Soak(
    date="2026-01-02T03:04:05+00:00",
    commit="abc",
    model="stub/model",
    bundle="model-int8-amd64",
    machine=Machine("A CPU", "x86_64", 2, ("avx2",), "6.1", "3.11", 0.1),
    plan=Plan(200, 100, 160, 8, 20, 1000),
    stopped_by="",
    seconds=200.0,
    callers={caller.value: Count(1000 + number, 1000) for number, caller in enumerate(Caller)},
    left=1004,
    dials=5000,
    resends=1,
    losses=Losses({}, 0, 0),
    compared=125,
    first_wrong="",
    p50_ms=900.0,
    p99_ms=9000.0,
    max_ms=12_345.0,
    windows=[Window(10.0 * number, 10.0, 800, 900.0, 9000.0) for number in range(20)],
    large_seconds=[30.0, 32.0, 34.0],
    looks=[*looks(1, 0, 106), *looks(2, 100, 200)],
    servers=[server(1, -5.0, 101.0), server(2, 100.5, None)],
    rss_slope=Slope(10.0, -20.0, 40.0),
    descriptors_slope=Slope(-1.0, -900.0, 900.0),
    others_percent=1.0,
)


class TestVerdict:
    def test_nothing_is_wrong_with_a_good_one(self):
        assert faults(GOOD) == []

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            ({"losses": Losses({"somebody: closed": 2}, 0, 0)}, "2 lost somebody: closed"),
            ({"losses": Losses({}, 0, 3), "first_wrong": "it is off"}, "3 wrong answers, the first one: it is off"),
            ({"stopped_by": "the server ended"}, "the server ended"),
            ({"callers": {caller.value: Count(9, 0) for caller in Caller}}, "nothing was answered"),
            ({"rss_slope": Slope(400.0, MAX_RSS_MB_PER_HOUR + 1, 500.0)}, "resident memory must not grow"),
            ({"descriptors_slope": Slope(9e3, MAX_DESCRIPTORS_PER_HOUR + 1, 9e4)}, "file descriptors must not grow"),
            (
                {"servers": [replace(GOOD.servers[0], idle_rss_mb=50.9)]},
                "server 1 must have at most 151 MB",
            ),
            ({"servers": [replace(GOOD.servers[0], status=1)]}, "server 1 ended with status 1"),
            ({"servers": [replace(GOOD.servers[0], status=3)]}, "server 1 ended with status 3"),
            ({"servers": [replace(GOOD.servers[0], status=0, cut=1)]}, "server 1 ended with status 0"),
            (
                {"servers": [replace(GOOD.servers[1], descriptors_left=16 + MAX_DESCRIPTORS_LEFT + 1)]},
                "file descriptors after the load must be at most 20, not 21",
            ),
        ],
    )
    def test_each_fault_is_named(self, change: dict, fault: str):
        (found,) = faults(replace(GOOD, **change))
        assert found.startswith(fault)
        assert f"FAILED: {found}" in render(replace(GOOD, **change))

    @pytest.mark.parametrize(
        "change",
        [
            {"losses": Losses({}, 7, 0)},
            {"stopped_by": INTERRUPTED},
            {"rss_slope": Slope(500.0, MAX_RSS_MB_PER_HOUR, 900.0)},
            {"rss_slope": None, "descriptors_slope": None},
            {"servers": [replace(GOOD.servers[0], status=3, cut=7)]},
            {"servers": [replace(GOOD.servers[1], descriptors_left=16 + MAX_DESCRIPTORS_LEFT)]},
        ],
    )
    def test_what_is_within_the_bounds_is_none(self, change: dict):
        assert faults(replace(GOOD, **change)) == []


class TestReport:
    def test_says_what_became_of_all(self):
        cells = {
            cell[1].strip(): cell[2].strip() for line in render(GOOD).splitlines() if len(cell := line.split("|")) == 4
        }
        assert cells["answered, of requests in Weaviate's pattern"] == "1,000 of 1,000"
        assert cells["… a second (goodput)"] == "80.0"
        assert cells["… p50, p99, the longest"] == "0.90 s, 9.00 s, 12.35 s"
        assert cells["answered, of texts of 1 MB, in a median of"] == "1,000 of 1,001, 32 s"
        assert cells["lost"] == cells["cut after `DRAIN_SECONDS` (8)"] == "0"
        assert cells["wrong, of answers that were compared"] == "0 of 125"
        assert cells["growth of resident memory, MB an hour"] == "+10 (-20 to +40; bound +120)"
        assert cells["file descriptors before the load, and after it"] == "16, 17"

    def test_has_a_row_for_each_server(self):
        first, second = (line for line in render(GOOD).splitlines() if line.startswith(("| 1 ", "| 2 ")))
        assert [cell.strip() for cell in first.split("|")[1:-1]] == [
            "1", "0–101", "0.50", "5.0", "140", "151", "151", "151", "16", "200", "0",
        ]  # fmt: skip
        assert [cell.strip() for cell in second.split("|")[1:5]] == ["2", "100–200", "0.50", "–"]

    def test_of_next_to_nothing_is_printed_and_drawn_too(self):
        nothing = replace(
            GOOD,
            stopped_by=INTERRUPTED,
            seconds=0.0,
            windows=[],
            looks=[],
            large_seconds=[],
            servers=[replace(GOOD.servers[1], ready_at=-1.0, descriptors_left=None)],
            rss_slope=None,
            descriptors_slope=None,
        )
        assert "stopped by Ctrl-C" in render(nothing)
        ElementTree.fromstring(plot(nothing))


class TestPlot:
    def test_has_a_line_for_each_server_and_each_figure(self):
        lines = ElementTree.fromstring(plot(GOOD)).findall(f"{SVG}path[@class]")
        drawn = [line for line in lines if line.get("class", "").startswith("line")]
        assert len(drawn) == 2 + 2 + 2 + 1
        assert len([line for line in lines if line.get("class") == "restart"]) == 4

    def test_says_in_words_what_it_shows(self):
        picture = ElementTree.fromstring(plot(GOOD))
        assert picture.find(f"{SVG}title").text == "200 s under load, with 1 replacements"
        assert "Resident memory of each server, MB: from 151 to 152" in picture.find(f"{SVG}desc").text

    def test_is_drawn_in_light_and_dark(self):
        style = ElementTree.fromstring(plot(GOOD)).find(f"{SVG}style").text
        assert "prefers-color-scheme: dark" in style
        used = {
            name for element in ElementTree.fromstring(plot(GOOD)).iter() for name in element.get("class", "").split()
        }
        light, _, dark = style.partition("@media")
        assert all(f".{name} {{" in light for name in used)
        assert all(f".{name} {{" in dark for name in used - {"line"})

    @given(highest=st.floats(1e-3, 1e6))
    def test_a_linear_axis_begins_at_0_has_few_round_ticks_and_room(self, highest: float):
        scale = linear(highest)
        assert scale.ticks[0] == scale.low == 0
        assert scale.ticks[-1] == pytest.approx(scale.high)
        assert highest <= scale.high * (1 + 1e-6) <= highest * 2.1 + 1e-9
        assert 2 <= len(scale.ticks) <= 5

    @given(values=st.tuples(st.floats(2e-3, 1e4), st.floats(2e-3, 1e4)).map(sorted))
    def test_a_logarithmic_axis_is_between_powers_of_ten(self, values):
        scale = logarithmic(*values)
        assert scale.low <= values[0] * (1 + 1e-6)
        assert values[1] <= scale.high * (1 + 1e-6)
        assert 0 <= scale.height(values[0]) <= scale.height(values[1]) <= 1
        assert len(scale.ticks) >= 2


class TestFiles:
    def test_what_is_saved_is_read_as_it_was(self, tmp_path: Path):
        save(GOOD, tmp_path / "new" / "soak.json")
        assert load(tmp_path / "new" / "soak.json") == GOOD
        bare = replace(GOOD, rss_slope=None, descriptors_slope=None)
        save(bare, tmp_path / "bare.json")
        assert load(tmp_path / "bare.json") == bare

    @pytest.mark.parametrize(
        ("change", "status"),
        [({}, 0), ({"stopped_by": INTERRUPTED}, 130), ({"losses": Losses({"x": 1}, 0, 0)}, 1)],
    )
    def test_an_earlier_soak_is_shown_with_its_status(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict, status: int
    ):
        save(replace(GOOD, **change), tmp_path / "soak.json")
        assert main(["--show", str(tmp_path / "soak.json")]) == status
        assert "in Weaviate's pattern" in capsys.readouterr().out
        assert (tmp_path / "soak.svg").read_text() == plot(replace(GOOD, **change))

    def test_a_file_that_is_no_soak_is_told(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        for content in ("nonsense", "[]", json.dumps({"date": "today"})):
            (tmp_path / "soak.json").write_text(content)
            assert main(["--show", str(tmp_path / "soak.json")]) == 1
            assert "is not what a soak has saved" in capsys.readouterr().err
        assert main(["--show", str(tmp_path / "absent.json")]) == 1
        assert "absent.json" in capsys.readouterr().err
