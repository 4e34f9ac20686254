"""The build's onnxruntime: no telemetry, no files left, and None for what it cannot run."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from build.graph.external_data import load_graph
from build.graph.session import open_temporary, run_model
from tests.support.graphs.tiny_graphs import OUTPUT, a_model, written
from tests.support.paths import ROOT

WIDTH = 8


def test_importing_it_writes_nothing_below_the_home_directory(tmp_path: Path):
    """onnxruntime itself writes there as soon as it is imported, unless its telemetry is off.

    The environment is a plain one, because onnxruntime also keeps silent where ``CI`` is set.
    """
    for module, untouched in (("build.graph.session", True), ("onnxruntime", False)):
        home = tmp_path / module
        home.mkdir()
        subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            env={"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=ROOT,
            check=True,
        )
        assert (list(home.iterdir()) == []) is untouched


def test_no_other_module_of_the_build_imports_onnxruntime():
    importers = set()
    for path in (ROOT / "build").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(name.split(".")[0] == "onnxruntime" for name in names):
                importers.add(path.relative_to(ROOT).as_posix())
    assert importers == {"build/graph/session.py"}


def test_a_temporary_model_is_opened_with_the_weights_beside_it_and_its_file_removed(tmp_path: Path):
    matrix, x = np.random.default_rng(1).standard_normal((2, WIDTH, WIDTH)).astype(np.float32)
    graph = written(a_model([("MatMul", ["x", "matrix"], OUTPUT)], {"matrix": matrix}), tmp_path / "g.onnx", True)
    before = sorted(tmp_path.iterdir())
    session = open_temporary(load_graph(graph), tmp_path / "temporary.onnx")
    assert sorted(tmp_path.iterdir()) == before
    np.testing.assert_allclose(session.run([OUTPUT], {"x": x})[0], x @ matrix, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op", ["NoSuchOp", "MatMul"])
def test_a_model_that_cannot_be_run_gives_nothing(op: str, capfd: pytest.CaptureFixture[str]):
    """An op that does not exist fails when the model is opened, shapes that do not match when it is run."""
    model = a_model([(op, ["x", "matrix"], OUTPUT)], {"matrix": np.ones((WIDTH, WIDTH))})
    assert run_model(model, {"x": np.ones((1, WIDTH - 1), dtype=np.float32)}, OUTPUT) is None
    assert capfd.readouterr() == ("", "")
