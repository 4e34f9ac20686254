"""Graphs with external weights: aligned for mapping, the same function, the same bytes every time."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from build.graph.external_data import ALIGNMENT, INLINE_BELOW, externalize_weights, write_graph
from manifest import Layout

ROWS, COLUMNS = 40, 30
NAME = "model"
GRAPH_FILE, WEIGHTS_FILE = f"{NAME}.onnx", f"{NAME}.onnx.data"


def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    return {
        "first": random.standard_normal((ROWS, COLUMNS)).astype(np.float32),
        "second": random.standard_normal((COLUMNS, ROWS)).astype(np.float32),
        "bias": random.standard_normal(ROWS).astype(np.float32),
        "bytes": random.integers(-128, 128, (ROWS, ROWS), dtype=np.int8),
        "scale": np.float32(0.01),
    }


def a_model(initializers: list[TensorProto]) -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"]),
        helper.make_node("MatMul", ["a", "second"], ["b"]),
        helper.make_node("Add", ["b", "bias"], ["c"]),
        helper.make_node("DequantizeLinear", ["bytes", "scale"], ["d"]),
        helper.make_node("MatMul", ["c", "d"], ["last_hidden_state"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", ROWS])],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["n", ROWS])],
        initializers,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", 18), ("com.microsoft", 1), ("x", 3))]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    source = tmp_path / "source.onnx"
    onnx.save(a_model([numpy_helper.from_array(array, name) for name, array in arrays().items()]), source)
    (tmp_path / "out").mkdir()
    graph = write_graph(source, tmp_path / "out", NAME)
    assert (graph.file, graph.inputs, graph.output, graph.layout) == (
        GRAPH_FILE,
        ("x",),
        "last_hidden_state",
        Layout.PADDED,
    )
    return tmp_path / "out"


def references(directory: Path) -> dict[str, dict[str, str]]:
    """Return where each external tensor is."""
    model = onnx.load(directory / GRAPH_FILE, load_external_data=False)
    return {
        tensor.name: {entry.key: entry.value for entry in tensor.external_data}
        for tensor in model.graph.initializer
        if external_data_helper.uses_external_data(tensor)
    }


def test_large_tensors_are_external_and_small_ones_inline(written: Path):
    assert set(references(written)) == {name for name, array in arrays().items() if array.nbytes >= INLINE_BELOW}
    assert set(references(written)) == {"first", "second", "bytes"}
    assert sorted(path.name for path in written.iterdir()) == [GRAPH_FILE, WEIGHTS_FILE]


def test_every_tensor_starts_on_a_page_and_is_what_it_was(written: Path):
    content = (written / WEIGHTS_FILE).read_bytes()
    covered = bytearray(len(content))
    for name, where in references(written).items():
        offset, length = int(where["offset"]), int(where["length"])
        assert offset % ALIGNMENT == offset % 4096 == 0
        assert content[offset : offset + length] == arrays()[name].tobytes()
        assert not any(covered[offset : offset + length])
        covered[offset : offset + length] = b"\1" * length
    assert not any(byte for byte, seen in zip(content, covered, strict=True) if not seen)


def test_the_graph_computes_what_numpy_does(written: Path):
    values = {name: array.astype(np.float64) for name, array in arrays().items()}
    x = np.random.default_rng(8).standard_normal((3, ROWS)).astype(np.float32)
    expected = (x @ values["first"] @ values["second"] + values["bias"]) @ (values["bytes"] * values["scale"])
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(written / GRAPH_FILE, options, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-4, atol=1e-3)


def test_the_written_graph_is_valid_and_names_only_the_op_sets_that_it_uses(written: Path):
    onnx.checker.check_model(str(written / GRAPH_FILE))
    model = onnx.load(written / GRAPH_FILE)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]


def test_the_same_graph_gives_the_same_bytes(written: Path, tmp_path: Path):
    again = tmp_path / "again"
    again.mkdir()
    write_graph(tmp_path / "source.onnx", again, NAME)
    for name in (GRAPH_FILE, WEIGHTS_FILE):
        assert (again / name).read_bytes() == (written / name).read_bytes()


def test_the_same_weights_give_the_same_bytes_wherever_they_were_before(written: Path, tmp_path: Path):
    external = tmp_path / "external"
    external.mkdir()
    model = a_model([numpy_helper.from_array(array, name) for name, array in arrays().items()])
    onnx.save(model, external / "s.onnx", save_as_external_data=True, location="s.data", size_threshold=0)
    as_fields = [
        helper.make_tensor(name, numpy_helper.from_array(array).data_type, array.shape, array.flatten().tolist())
        for name, array in arrays().items()
    ]
    onnx.save(a_model(as_fields), external / "fields.onnx")
    for source in ("s.onnx", "fields.onnx"):
        target = external / source.removesuffix(".onnx")
        target.mkdir()
        write_graph(external / source, target, NAME)
        assert (target / WEIGHTS_FILE).read_bytes() == (written / WEIGHTS_FILE).read_bytes()
        assert references(target) == references(written)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3 * ALIGNMENT), min_size=1, max_size=6))
def test_tensors_of_any_size_are_aligned_and_read_back(tmp_path_factory, sizes: list[int]):
    directory = tmp_path_factory.mktemp("sizes")
    tensors = {f"t{n}": np.arange(size, dtype=np.uint32).astype(np.uint8) for n, size in enumerate(sizes)}
    model = a_model([numpy_helper.from_array(array, name) for name, array in tensors.items()])
    onnx.save(model, directory / "source.onnx")
    write_graph(directory / "source.onnx", directory, NAME)
    assert all(int(where["offset"]) % ALIGNMENT == 0 for where in references(directory).values())
    read = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(directory / GRAPH_FILE).graph.initializer
    }
    assert read.keys() == tensors.keys()
    assert all((read[name] == array).all() and read[name].shape == array.shape for name, array in tensors.items())


def test_small_tensors_and_constants_of_nodes_become_inline_wherever_they_were_before(tmp_path: Path):
    model = a_model([numpy_helper.from_array(array, name) for name, array in arrays().items()])
    constant = np.arange(40, dtype=np.float32)
    node = helper.make_node("Constant", [], ["constant"], value=numpy_helper.from_array(constant))
    model.graph.node.insert(0, node)
    where = {"location": "s.data", "size_threshold": 0, "convert_attribute": True}
    onnx.save(model, tmp_path / "s.onnx", save_as_external_data=True, **where)
    (tmp_path / "out").mkdir()
    write_graph(tmp_path / "s.onnx", tmp_path / "out", NAME)
    (tmp_path / "s.data").unlink()
    assert set(references(tmp_path / "out")) == {"first", "second", "bytes"}
    read = onnx.load(tmp_path / "out" / GRAPH_FILE)
    assert {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in read.graph.initializer} == {
        name: array.tolist() for name, array in arrays().items()
    }
    assert numpy_helper.to_array(read.graph.node[0].attribute[0].t).tolist() == constant.tolist()


def test_a_graph_in_one_file_is_replaced_by_one_whose_weights_can_be_mapped(tmp_path: Path):
    source = tmp_path / "source.onnx"
    (tmp_path / "out").mkdir()
    onnx.save(a_model([numpy_helper.from_array(array, name) for name, array in arrays().items()]), source)
    externalized = externalize_weights(source, tmp_path / "out")
    assert not source.exists()
    found = onnx.load(externalized, load_external_data=False)
    external = {tensor.name for tensor in found.graph.initializer if external_data_helper.uses_external_data(tensor)}
    assert external == {"first", "second", "bytes"}
    for tensor in onnx.load(externalized).graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), arrays()[tensor.name])


def test_a_graph_with_its_weights_beside_it_stays_where_it_is(tmp_path: Path):
    source = tmp_path / "source.onnx"
    model = a_model([numpy_helper.from_array(array, name) for name, array in arrays().items()])
    onnx.save(model, source, save_as_external_data=True, location="source.data", size_threshold=0)
    assert externalize_weights(source, tmp_path / "out") == source
    assert source.exists()
