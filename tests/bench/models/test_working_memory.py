"""The working memory of a run beside what the manifest states."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from manifest import TextModel, read_manifest
from tests.support.paths import ROOT


def test_is_measured_beside_what_the_manifest_states(default_bundle: Path):
    command = [sys.executable, "-m", "bench.models.working_memory", str(default_bundle), "128", "256"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows = [[float(cell) for cell in line.strip("| ").split("|")] for line in ran.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == [128, 256]
    memory = read_manifest(default_bundle).section_as(TextModel).main_encoder.memory
    for tokens, peak, kept, stated in rows:
        assert stated == round(memory.of(int(tokens)) / 1e6, 1)
        assert 0 <= kept <= peak <= stated


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "bench: nowhere has no manifest.json"),
        (["{bundle}", "257"], "bench: a text of the model must have at most 256 tokens, not 257"),
    ],
)
def test_what_cannot_be_measured_is_reported(default_bundle: Path, words: list[str], message: str):
    arguments = [word.format(bundle=default_bundle) for word in words]
    command = [sys.executable, "-m", "bench.models.working_memory", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 1
    assert message in ran.stderr
