"""Integer matrix products: without calibration bit for bit what onnxruntime's own quantizer gives."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from build.quantization.calibrated import CalibratedWeights, ScaledInput
from build.quantization.linear_inputs import LinearInput, Producers
from build.quantization.quantize import quantize
from build.quantization.rounding import QuantizedMatrix, quantize_per_channel, quantize_per_row
from build.quantization.smoothing import ChannelScaling
from tests.support.graphs.tiny_graphs import OUTPUT, Step, a_model, session_of, written

HIDDEN, WIDE = 24, 40


def a_graph(path: Path, external: bool) -> Path:
    """Write products that share an activation or a matrix, of two activations, and with a matrix that Gather reads."""
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
        model, path, save_as_external_data=external, location="source.data", size_threshold=0, convert_attribute=True
    )
    return path


def reference(graph: Path, target: Path) -> onnx.ModelProto:
    quantize_dynamic(graph, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
    return onnx.load(target)


@pytest.mark.parametrize("external", [False, True])
def test_nodes_weights_and_shapes_are_onnxruntimes(tmp_path: Path, external: bool):
    graph = a_graph(tmp_path / "source.onnx", external)
    work = tmp_path / "work"
    work.mkdir()
    ours, theirs = onnx.load(quantize(graph, work)), reference(graph, tmp_path / "theirs.onnx")
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


def run(graph: Path, **inputs: np.ndarray) -> np.ndarray:
    return session_of(graph).run(None, inputs)[0]


def as_integers(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Quantize an activation to signed values with a scale: ONNX's DynamicQuantizeLinear, in float64."""
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    return np.clip(np.rint(x.astype(np.float64) / scale) + zero, 0, 255) - zero, scale


def product(x: np.ndarray, matrix: QuantizedMatrix) -> np.ndarray:
    values, scale = as_integers(x)
    return values @ matrix.values.astype(np.float64) * scale * matrix.scales


def some_rows(rows: int, columns: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def some_values(rows: int, columns: int, seed: int = 6) -> QuantizedMatrix:
    """Make up a matrix that no weights would be rounded to, so that its origin is visible."""
    random = np.random.default_rng(seed)
    values = random.integers(-127, 128, (rows, columns), dtype=np.int8)
    return QuantizedMatrix(values, random.uniform(0.01, 0.02, columns).astype(np.float32))


def calibrated(
    scaled: list[ScaledInput], quantized: dict[str, QuantizedMatrix], tables: tuple[str, ...] = ()
) -> CalibratedWeights:
    return CalibratedWeights(tuple(scaled), quantized, tables, weight_records=())


def tensors_of(graph: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(graph).graph.initializer}


@pytest.mark.parametrize("external", [False, True])
def test_calibrated_values_are_used_and_other_weights_are_rounded_to_the_nearest(tmp_path: Path, external: bool):
    steps: list[Step] = [("MatMul", ["x", "up"], "u"), ("MatMul", ["u", "down"], OUTPUT)]
    source = {"up": some_rows(HIDDEN, WIDE), "down": some_rows(WIDE, HIDDEN)}
    graph = written(a_model(steps, source), tmp_path / "source.onnx", external)
    chosen, x = some_values(HIDDEN, WIDE), some_rows(7, HIDDEN, 8)
    quantized = quantize(graph, tmp_path, calibrated([], {"up": chosen}))
    assert (tensors_of(quantized)["up_quantized"] == chosen.values).all()
    assert (tensors_of(quantized)["up_scale"] == chosen.scales).all()
    expected = product(product(x, chosen), quantize_per_channel(source["down"]))
    assert np.abs(run(quantized, x=x) - expected).max() < 1e-2 * np.abs(expected).max()
    assert (tensors_of(quantized)["down_quantized"] == quantize_per_channel(source["down"]).values).all()


def test_an_integer_product_of_calibrated_values_is_exact(tmp_path: Path):
    graph = written(a_model([("MatMul", ["x", "up"], OUTPUT)], {"up": some_rows(HIDDEN, WIDE)}), tmp_path / "s.onnx")
    chosen, x = some_values(HIDDEN, WIDE), some_rows(7, HIDDEN, 8)
    quantized = quantize(graph, tmp_path, calibrated([], {"up": chosen}))
    np.testing.assert_allclose(run(quantized, x=x), product(x, chosen), rtol=1e-5, atol=1e-5)


def test_values_for_a_scaled_activation_are_multiplied_by_it(tmp_path: Path):
    graph = written(a_model([("MatMul", ["x", "up"], OUTPUT)], {"up": some_rows(HIDDEN, WIDE)}), tmp_path / "s.onnx")
    scales = np.random.default_rng(9).uniform(0.5, 2, HIDDEN).astype(np.float32)
    scaling = ChannelScaling(np.ones(HIDDEN, dtype=np.int64), scales, 0.5)
    chosen, x = some_values(HIDDEN, WIDE), some_rows(7, HIDDEN, 8)
    scaled = ScaledInput(LinearInput("x", ("up",), HIDDEN, None, None), scaling)
    quantized = quantize(graph, tmp_path, calibrated([scaled], {"up": chosen}))
    np.testing.assert_allclose(run(quantized, x=x), product(x / scales, chosen), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("calibrates_both", [True, False])
def test_columns_are_split_where_the_next_activation_is(tmp_path: Path, calibrates_both: bool):
    """Whether or not the matrix before is calibrated."""
    steps: list[Step] = [("MatMul", ["x", "up"], "u"), ("Relu", ["u"], "a"), ("MatMul", ["a", "down"], OUTPUT)]
    source = {"up": some_rows(HIDDEN, WIDE), "down": some_rows(WIDE, HIDDEN)}
    graph = written(a_model(steps, source), tmp_path / "source.onnx")
    splits = np.ones(WIDE, dtype=np.int64)
    splits[[3, 17]] = 4, 2
    scaling = ChannelScaling(splits, np.repeat(splits, splits).astype(np.float32), None)
    scaled = ScaledInput(LinearInput("a", ("down",), WIDE, None, Producers(("up",), ())), scaling)
    rounded = {"down": quantize_per_channel(scaling.matrix(source["down"]))}
    before = some_values(HIDDEN, WIDE) if calibrates_both else quantize_per_channel(source["up"])
    quantized = quantize(graph, tmp_path, calibrated([scaled], rounded | ({"up": before} if calibrates_both else {})))
    found = tensors_of(quantized)
    assert (found["up_quantized"] == np.repeat(before.values, splits, axis=1)).all()
    assert (found["up_scale"] == np.repeat(before.scales, splits)).all()
    assert found["up_zero_point"].shape == (WIDE + 4,)
    assert found["down_quantized"].shape == (WIDE + 4, HIDDEN)
    x = some_rows(7, HIDDEN, 8)
    middle = scaling.activation(np.maximum(product(x, before), 0).astype(np.float32))
    expected = product(middle, rounded["down"])
    assert np.abs(run(quantized, x=x) - expected).max() < 1e-2 * np.abs(expected).max()


def test_tables_are_looked_up_as_int8_rows_and_their_scales(tmp_path: Path):
    table, ids = some_rows(50, HIDDEN) * np.geomspace(0.01, 100, 50, dtype=np.float32)[:, np.newaxis], np.arange(50)
    graph = written(a_model([("Gather", ["table", "ids"], OUTPUT)], {"table": table}, ("ids",)), tmp_path / "s.onnx")
    quantized = quantize(graph, tmp_path, calibrated([], {}, ("table",)))
    found = tensors_of(quantized)
    assert set(found) == {"table_quantized", "table_scale"}
    assert (found["table_quantized"] == quantize_per_row(table).values).all()
    assert found["table_scale"].shape == (50, 1)
    abs_max = np.abs(table).max(axis=1, keepdims=True)
    assert (np.abs(run(quantized, ids=ids) - table) <= 0.5001 * abs_max / 127).all()


@pytest.mark.parametrize("shape", [(4,), (2, 3), (0,)])
def test_rows_have_the_shape_of_the_indices(tmp_path: Path, shape: tuple[int, ...]):
    graph = written(
        a_model([("Gather", ["table", "ids"], OUTPUT)], {"table": some_rows(50, HIDDEN)}, ("ids",)), tmp_path / "s.onnx"
    )
    ids = np.random.default_rng(1).integers(-50, 50, shape)
    found = run(quantize(graph, tmp_path, calibrated([], {}, ("table",))), ids=ids)
    expected = quantize_per_row(some_rows(50, HIDDEN))
    np.testing.assert_allclose(found, (expected.values * expected.scales[:, np.newaxis])[ids])


def test_rows_may_be_multiplied_directly_and_a_table_may_be_read_twice(tmp_path: Path):
    """What is looked up is quantized as an activation."""
    steps: list[Step] = [
        ("Gather", ["table", "ids"], "x"),
        ("Gather", ["table", "type_ids"], "y"),
        ("MatMul", ["x", "up"], "u"),
        ("MatMul", ["y", "gate"], "g"),
        ("Add", ["u", "g"], OUTPUT),
    ]
    source = {"table": some_rows(50, HIDDEN), "up": some_rows(HIDDEN, WIDE), "gate": some_rows(HIDDEN, WIDE, 9)}
    graph = written(a_model(steps, source, ("ids", "type_ids")), tmp_path / "source.onnx")
    ids, types = np.array([3, 1, 4, 1]), np.array([5, 9, 2, 6])
    found = run(quantize(graph, tmp_path, calibrated([], {}, ("table",))), ids=ids, type_ids=types)
    table = quantize_per_row(source["table"])
    rows = table.values * table.scales[:, np.newaxis]
    expected = product(rows[ids], quantize_per_channel(source["up"])) + product(
        rows[types], quantize_per_channel(source["gate"])
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_the_same_calibration_gives_the_same_bytes(tmp_path: Path):
    graph = a_graph(tmp_path / "source.onnx", external=True)
    contents = []
    for number in range(2):
        work = tmp_path / str(number)
        work.mkdir()
        quantize(graph, work, calibrated([], {"up": some_values(HIDDEN, WIDE)}))
        contents.append({path.name: path.read_bytes() for path in work.iterdir()})
    assert contents[0] == contents[1]
