"""A server on a port and on a Unix socket, as real processes: both answer, and the report has a row for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.bundles import unverified_bundle
from bench.load.vectors import Vectors
from bench.static import neighbor
from bench.static.neighbor import Case, measure, render
from build.precisions import PRECISIONS
from manifest import Precision
from tests.support.models.static_models import WIDTH, own_layout, wordpiece
from tests.support.server.stub_server import MODEL


def test_both_are_asked_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(neighbor, "CASES", (Case("1 text", Vectors(WIDTH)),))
    directory = own_layout(tmp_path / "model", wordpiece())
    bundle = unverified_bundle(str(directory), PRECISIONS[Precision.STORED], tmp_path / "bundle")
    found = measure(MODEL, bundle, turns=2, seconds=0.02)
    assert list(found) == [("1 text", "TCP"), ("1 text", "Unix")]
    assert all(len(each.rates) == 2 and min(each.rates) > 0 for each in found.values())
    assert all(min(each.milliseconds) > 0 and min(each.caller) > 0 for each in found.values())
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in render(found).splitlines()[2:]]
    assert [row[:2] for row in shown] == [["1 text", "TCP"], ["1 text", "Unix"]]
