"""Image towers in process: real engines on a tiny model, and the tables."""

from __future__ import annotations

import pytest

from bench.clip.towers import Timed, Tower, measure, render, render_reading, time_reading
from bench.clip.worker import pixels_of
from bench.errors import ModelFailed
from bench.load.pictures import Size
from manifest import ClipModel, read_manifest
from tests.support.bundles.clips import clip_bundle

LAYOUT = "sentence-transformers"


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_the_table_has_rates_and_how_many_times_ours_they_are():
    own = Timed({1: [0.01, 0.02, 0.01], 2: [0.005] * 3}, 0.999)
    other = Timed({1: [0.02, 0.02, 0.02], 2: [0.02] * 3}, 0.9)
    rows = cells(render({"ours": own, "theirs": other}))
    assert rows[0] == ["image tower", "images/s, 1 core", "images/s, 2 cores", "least cosine to fp32"]
    assert rows[2:] == [["ours", "100.0", "200.0", "0.9990"], ["theirs", "50.0 (0.50 ×)", "50.0 (0.25 ×)", "0.9000"]]


def test_engines_are_timed_with_a_thread_for_each_core():
    tower = Tower("ours", "onnxruntime", clip_bundle(LAYOUT))
    timed = measure([tower], tower, 2, 2, lambda line: None, images=3)
    assert timed["ours"].seconds.keys() == {1, 2}
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in timed["ours"].seconds.values())
    assert timed["ours"].cosine > 0.999999


def test_an_engine_that_fails_is_named(tmp_path):
    tower = Tower("broken", "onnxruntime", tmp_path)
    with pytest.raises(ModelFailed, match=r"broken: BundleError: .*manifest"):
        measure([tower], tower, 1, 1, lambda line: None)


def test_pictures_are_the_same_for_the_same_seed_and_others_for_another():
    assert pixels_of(16, 1).shape == (3, 16, 16)
    assert (pixels_of(16, 1) == pixels_of(16, 1)).all()
    assert (pixels_of(16, 1) != pixels_of(16, 2)).any()


def test_reading_is_timed_beside_the_originals_processor():
    pixels = read_manifest(clip_bundle(LAYOUT)).section_as(ClipModel).image.pixels
    (reading,) = time_reading(pixels, [Size(64, 48, 2)], 3)
    assert len(reading.own) == len(reading.original) == 3
    assert min(*reading.own, *reading.original) > 0
    (row,) = cells(render_reading([reading]))[2:]
    assert row[0] == "64 × 48"
    assert row[1].endswith(" kB")
    assert row[3].endswith("×)")
