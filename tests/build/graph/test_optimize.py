"""onnxruntime's rewrites: fused where that is faster, the same function, weights beside the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import external_data_helper

from build.graph.optimize import optimize
from tests.support.graphs.tiny_graphs import OUTPUT, Step, a_model, constant, gelu, session_of, written

WIDTH = 32
STEPS: list[Step] = [
    constant(0.5, "half"),
    ("MatMul", ["x", "matrix"], "m"),
    ("Add", ["m", "bias"], "a"),
    *gelu("a", "h", "half"),
    ("Add", ["h", "x"], "r"),
    ("LayerNormalization", ["r", "scale", "bias"], OUTPUT, {"axis": -1}),
]


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    weights = {"matrix": random.standard_normal((WIDTH, WIDTH)), "bias": random.standard_normal(WIDTH)}
    model = a_model(STEPS, weights | {"scale": random.standard_normal(WIDTH)})
    for value in (*model.graph.input, *model.graph.output):
        for size in (1, 2, WIDTH):
            value.type.tensor_type.shape.dim.add(dim_value=size)
    return written(model, tmp_path / "graph.onnx")


def test_gelu_is_fused_and_the_norm_is_not_joined_with_the_residual(graph: Path, tmp_path: Path):
    ops = [node.op_type for node in onnx.load(optimize(graph, tmp_path)).graph.node]
    assert "Erf" not in ops
    assert any("Gelu" in op for op in ops)
    assert "LayerNormalization" in ops
    assert not any("Skip" in op for op in ops)


def test_the_rewritten_graph_computes_the_same(graph: Path, tmp_path: Path):
    x = np.random.default_rng(2).standard_normal((1, 2, WIDTH)).astype(np.float32)
    found, expected = (session_of(path).run([OUTPUT], {"x": x})[0] for path in (optimize(graph, tmp_path), graph))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_large_weights_are_beside_the_rewritten_graph(graph: Path, tmp_path: Path):
    optimized = optimize(graph, tmp_path)
    model = onnx.load(optimized, load_external_data=False)
    external = {tensor.name for tensor in model.graph.initializer if external_data_helper.uses_external_data(tensor)}
    assert external == {"matrix"}
    assert (optimized.parent / f"{optimized.name}.data").stat().st_size >= 4 * WIDTH**2
