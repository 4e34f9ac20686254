"""Imports in the bench go one way: no benchmark knows another, no kind of model another, and reports know neither."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.paths import ROOT

BENCH = ROOT / "bench"
SHARED = {path.stem for path in BENCH.glob("*.py")} - {"__init__", "__main__"}
FOLDERS = {path.parent.name for path in BENCH.glob("*/__init__.py")}

ALLOWED = {
    "report": {"process_tree"},
    "incumbent": set(),
    "load": SHARED | {"report"},
    "server": SHARED | {"report", "load"},
    "text": SHARED | {"load", "server"},
    "static": SHARED | {"load", "server", "report"},
    **dict.fromkeys(("rerank", "clip"), SHARED | {"load", "server", "models", "report"}),
    **dict.fromkeys(("workers", "importing"), SHARED | {"report", "load", "server"}),
    "soak": SHARED | {"report", "load", "server"},
    **dict.fromkeys(("models", "precisions", "kernels"), SHARED | {"report"}),
}
"""What the modules of each folder may import of the bench, besides their own folder."""


def imported(paths: Iterable[Path]) -> set[str]:
    """Folders, and modules beside them, that the modules at ``paths`` import of the bench."""
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("bench.")}


def test_every_folder_has_its_rule():
    assert ALLOWED.keys() == FOLDERS


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_what_its_rule_allows(folder: str):
    assert imported((BENCH / folder).rglob("*.py")) - {folder} <= ALLOWED[folder]


def test_what_all_share_imports_no_benchmark():
    assert imported(BENCH / f"{name}.py" for name in SHARED) <= SHARED
