"""Integer matrix products: bit for bit what onnxruntime's own quantizer gives, without its copies of the weights."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from build.quantize import quantize, quantize_columns
from build.recipes import recipe_for
from manifest import Precision, Target

INT8, FP32 = (recipe_for(precision, Target.AMD64) for precision in (Precision.INT8, Precision.FP32))
HIDDEN, WIDE = 24, 40


def a_graph(path: Path, outside: bool) -> Path:
    """Products that share an activation, that share a matrix, of two activations, and by a matrix that Gather reads."""
    random = np.random.default_rng(3)
    weights = {
        "table": random.standard_normal((HIDDEN, HIDDEN)),
        "query": random.standard_normal((HIDDEN, HIDDEN)),
        "up": random.standard_normal((HIDDEN, WIDE)) * 1e-3,
        "down": random.standard_normal((WIDE, HIDDEN)) * 1e3,
        "bias": random.standard_normal(HIDDEN),
    }
    nodes = [
        ("Gather", ["table", "ids"], "x"),
        ("MatMul", ["x", "query"], "q"),
        ("MatMul", ["x", "table"], "k"),
        ("Transpose", ["k"], "kt"),
        ("MatMul", ["q", "kt"], "scores"),
        ("MatMul", ["scores", "x"], "mixed"),
        ("MatMul", ["mixed", "query"], "again"),
        ("Add", ["again", "bias"], "shifted"),
        ("Add", ["shifted", "constant"], "biased"),
        ("MatMul", ["biased", "up"], "wide"),
        ("MatMul", ["wide", "down"], "last_hidden_state"),
    ]
    constant = numpy_helper.from_array(random.standard_normal((1, HIDDEN)).astype(np.float32))
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["constant"], "/constant", value=constant),
            *(helper.make_node(kind, inputs, [output], f"/{output}/{kind}") for kind, inputs, output in nodes),
        ],
        "products",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["tokens"])],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["tokens", HIDDEN])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(
        model, path, save_as_external_data=outside, location="source.data", size_threshold=0, convert_attribute=True
    )
    return path


def reference(graph: Path, target: Path) -> onnx.ModelProto:
    quantize_dynamic(graph, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
    return onnx.load(target)


@pytest.mark.parametrize("outside", [False, True])
def test_nodes_weights_and_shapes_are_onnxruntimes(tmp_path: Path, outside: bool):
    graph = a_graph(tmp_path / "source.onnx", outside)
    work = tmp_path / "work"
    work.mkdir()
    ours, theirs = onnx.load(quantize(graph, work, INT8)), reference(graph, tmp_path / "theirs.onnx")
    assert sorted(map(repr, ours.graph.node)) == sorted(map(repr, theirs.graph.node))
    tensors = [
        [(tensor.name, tensor.data_type, numpy_helper.to_array(tensor).tobytes()) for tensor in model.graph.initializer]
        for model in (ours, theirs)
    ]
    assert tensors[0] == tensors[1]
    assert {"table", "table_quantized", "query_quantized"} <= {name for name, _, _ in tensors[0]}
    assert "query" not in {name for name, _, _ in tensors[0]}
    for field in ("input", "output", "value_info"):
        assert list(map(repr, getattr(ours.graph, field))) == list(map(repr, getattr(theirs.graph, field)))
    onnx.checker.check_model(ours)


def test_fp32_is_the_graph_itself(tmp_path: Path):
    graph = a_graph(tmp_path / "source.onnx", outside=False)
    assert quantize(graph, tmp_path, FP32) == graph


MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 5)),
    elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
    | st.floats(-(2.0**-120), 2.0**-120, width=32, allow_subnormal=False),
)


@settings(max_examples=200, deadline=None)
@given(MATRICES)
def test_columns_are_rounded_as_onnxruntime_rounds_them(matrix: np.ndarray):
    from onnxruntime.quantization.quant_utils import quantize_data

    scale, zero_point, steps = quantize_columns(matrix)
    assert steps.shape == matrix.shape
    for n, column in enumerate(matrix.T):
        expected = quantize_data(column, TensorProto.INT8, symmetric=True)
        assert (zero_point[n], scale[n]) == (expected[0], expected[1])
        assert steps[:, n].tolist() == expected[2].tolist()


@settings(max_examples=200, deadline=None)
@given(MATRICES)
def test_no_weight_moves_by_more_than_half_a_step(matrix: np.ndarray):
    scale, _, steps = quantize_columns(matrix)
    error = np.abs(steps.astype(np.float64) * scale.astype(np.float64) - matrix.astype(np.float64))
    assert (error <= 0.5001 * scale.astype(np.float64)).all()
    assert np.abs(steps.astype(int)).max() <= 127
