"""The importing benchmark: a real server under the load of an import, and the table of what it suffices for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.importing.__main__ import HEADER, main
from bench.importing.measurement import LENGTHS, Rate


@pytest.mark.parametrize(("texts_per_second", "most"), [(0.1, 0), (3.3, 0), (3.4, 1), (66.7, 20)])
def test_first_batches_must_be_answered_in_a_minute(texts_per_second: float, most: int):
    """200 texts for each processor."""
    assert Rate(LENGTHS[0], texts_per_second).most_processors == most


def test_a_row_for_each_length(default_bundle: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--bundle", str(default_bundle), "--cores", "1", "--seconds", "0.1"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    header, _, *cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert header == list(HEADER)
    assert [row[:2] for row in cells] == [[str(length), "1"] for length in LENGTHS]
    assert all(float(row[2]) > 0 for row in cells)


@pytest.mark.parametrize("cores", ["0", "1000", "one"])
def test_cores_that_are_not_there_are_refused(cores: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        main(["--cores", cores])
    assert "must be whole numbers from 1 to" in capsys.readouterr().err


def test_a_directory_that_is_no_bundle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--bundle", str(tmp_path)]) == 1
    assert "has no manifest.json" in capsys.readouterr().err
