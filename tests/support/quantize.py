"""What runs of ``quantize.py`` print and leave behind."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.models.tiny_models import TinyModel

TINY = TinyModel("tiny", "bert", "bert", "BertModel", normalize=True, prompts={"query": "query: "})
STAGE = re.compile(r"\[(\d)(?:/8)?\] (fetch|describe|export|calibrate|quantize|optimize|package|verify): .+")


def message(result: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """The one line, beside those that announce stages, of a run that failed as it should."""
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not STAGE.fullmatch(line)]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("quantize.py: ")
    return lines[0].removeprefix("quantize.py: ")


def assert_nothing_but(folder: Path, *names: str) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
