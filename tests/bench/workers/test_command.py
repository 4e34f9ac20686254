"""The workers' benchmark: real processes share real callers, and the table says how."""

from __future__ import annotations

import re

import pytest

from bench.workers.__main__ import HEADER, main

QUICK = ("--threads", "4", "--milliseconds", "1", "--seconds", "0.2")


def test_a_row_for_each_pattern_of_connections_and_what_they_would_be_without_the_rule(
    capsys: pytest.CaptureFixture[str],
):
    assert main(["--workers", "1,2", *QUICK]) == 0
    heading, machine, setting, _, header, _, *rows, _, others = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00, commit \S+", heading)
    assert "cores" in machine
    assert setting == "a text keeps a thread for 1 ms; 0.2 s for each row"
    assert [cell.strip() for cell in header.strip("|").split("|")] == list(HEADER)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[:3] for row in cells] == [
        ["1 × 4", "kept", "the least busy"],
        ["1 × 4", "weaviate", "the least busy"],
        ["2 × 2", "kept", "the least busy"],
        ["2 × 2", "weaviate", "the least busy"],
        ["2 × 2", "weaviate", "any"],
    ]
    assert all(int(row[3].replace(",", "")) > 0 for row in cells)
    assert [row[8:10] for row in cells[:2]] == [["100 %", "100 %"]] * 2
    assert "other processes used" in others


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "3", "--threads", "16"], "--threads: must be a multiple of the number of workers, 3"),
        (["--workers", "0"], "must be whole numbers above 0, not '0'"),
        (["--milliseconds", "-1"], "must be at least 0 and less than a million, not -1"),
        (["--workers", "two"], "must be whole numbers above 0, not 'two'"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
