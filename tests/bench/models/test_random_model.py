"""Models of a real size with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.models.random_model import SHAPES, Shape, main, write_model
from build.model.describe import describe


def test_a_random_model_is_one_that_can_be_built_and_is_the_same_each_time(tmp_path: Path):
    shape = Shape(layers=1, width=32, heads=2, feed_forward=64)
    for name, outliers in (("plain", False), ("again", False), ("outliers", True)):
        (tmp_path / name).mkdir()
        write_model(tmp_path / name, shape, outliers)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "again", "outliers")]
    assert weights[0] == weights[1] != weights[2]
    assert describe(tmp_path / "plain", trust_remote_code=False).dim == 32


def test_an_existing_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"bench: {tmp_path} exists already\n"


def test_shapes_are_those_of_the_models_that_they_are_named_after():
    assert SHAPES["base"] == Shape(layers=12, width=768, heads=12, feed_forward=3072)
