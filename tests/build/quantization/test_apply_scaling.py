"""Channel scalings in a graph: with matrices that compensate for them it computes what it did before."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from build.graph.external_data import load_graph
from build.graph.index import GraphIndex
from build.quantization.apply_scaling import scale_channels
from build.quantization.calibrated import ScaledInput
from build.quantization.linear_inputs import LinearInput, find_linear_inputs
from build.quantization.smoothing import ChannelScaling
from tests.support.graphs.tiny_graphs import OUTPUT, Step, a_model, constant, gelu, written

WIDTH, WIDE, TOKENS = 8, 12, 5


def weights(*names: str) -> dict[str, NDArray[np.float32]]:
    shapes = {
        "query": (WIDTH, WIDTH),
        "key": (WIDTH, WIDTH),
        "up": (WIDTH, WIDE),
        "gate": (WIDTH, WIDE),
        "down": (WIDE, WIDTH),
        "cube": (2, WIDTH, WIDTH),
        "scale": (WIDTH,),
        "bias": (WIDTH,),
        "wide_bias": (WIDE,),
        "wide_scale": (WIDE,),
    }
    random = np.random.default_rng(1)
    made = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return {name: made[name] for name in names}


def smooth(width: int, seed: int = 1) -> ChannelScaling:
    scales = np.exp(np.random.default_rng(seed).uniform(-2, 2, width)).astype(np.float32)
    return ChannelScaling(np.ones(width, dtype=np.int64), scales, 0.5)


def split(width: int, seed: int = 1) -> ChannelScaling:
    splits = np.random.default_rng(seed).integers(1, 4, width)
    splits[0] = 3
    return ChannelScaling(splits, np.repeat(splits, splits).astype(np.float32), None)


def run(path: Path) -> list[NDArray[np.float32]]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(7).standard_normal((2, TOKENS, WIDTH)).astype(np.float32)
    return session.run(None, {"x": x})


def with_matrices(
    model: ModelProto,
    source: Mapping[str, NDArray[np.float32]],
    scaled: Sequence[ScaledInput],
    columns: Mapping[str, NDArray[np.int64]],
) -> None:
    """Give the matrices the values that quantization rounds."""
    rows = {name: entry.scaling for entry in scaled for name in entry.linear_input.matrices}
    for tensor in model.graph.initializer:
        if tensor.name in rows or tensor.name in columns:
            matrix = source[tensor.name]
            matrix = rows[tensor.name].matrix(matrix) if tensor.name in rows else matrix
            matrix = np.repeat(matrix, columns.get(tensor.name, 1), axis=1)
            assert list(tensor.dims) == list(matrix.shape)
            tensor.CopyFrom(numpy_helper.from_array(matrix, tensor.name))


def ops(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.fixture(params=[False, True], ids=["inline", "external"])
def scaled_graph(request, tmp_path: Path):
    """Return a function that applies scalings to a graph, and checks that the graph still computes the same."""

    def scale(
        steps: Sequence[Step],
        source: Mapping[str, NDArray[np.float32]],
        scalings: Mapping[str, ChannelScaling],
        outputs: tuple[str, ...] = (OUTPUT,),
    ) -> ModelProto:
        path = written(a_model(steps, source, outputs=outputs), tmp_path / "source.onnx", request.param)
        model = load_graph(path)
        index = GraphIndex(model, tmp_path)
        inputs: dict[str, LinearInput] = {entry.name: entry for entry in find_linear_inputs(index)}
        scaled = [ScaledInput(inputs[name], scaling) for name, scaling in scalings.items()]
        columns = scale_channels(model, tmp_path, scaled)
        with_matrices(model, source, scaled, columns)
        (tmp_path / "scaled.onnx").write_bytes(model.SerializeToString())
        for found, expected in zip(run(tmp_path / "scaled.onnx"), run(path), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        return model

    return scale


NORMS: dict[str, list[Step]] = {
    "with a bias": [("LayerNormalization", ["x", "scale", "bias"], "n", {"axis": -1})],
    "without a bias": [("LayerNormalization", ["x", "scale"], "n", {"axis": -1})],
    "with a bias that a node holds": [
        constant(np.linspace(-1, 1, WIDTH), "held"),
        ("LayerNormalization", ["x", "scale", "held"], "n", {"axis": -1}),
    ],
    "of the mean square": [
        ("Mul", ["x", "x"], "square"),
        ("ReduceMean", ["square", "axes"], "mean"),
        ("Sqrt", ["mean"], "root"),
        ("Div", ["x", "root"], "y"),
        ("Mul", ["scale", "y"], "n"),
    ],
}


@pytest.mark.parametrize("kind", NORMS)
def test_a_norm_absorbs_the_scales_and_no_node_is_added(scaled_graph, kind: str):
    steps = [*NORMS[kind], ("MatMul", ["n", "query"], "q"), ("MatMul", ["n", "up"], "u"), ("Softmax", ["q"], OUTPUT)]
    source = weights("scale", "bias", "query", "up") | {"axes": np.array([-1])}
    model = scaled_graph(steps, source, {"n": smooth(WIDTH)}, outputs=(OUTPUT, "u"))
    assert ops(model) == [step[0] for step in steps]


def test_vectors_that_another_norm_reads_stay_as_they_are_there(scaled_graph):
    norm: Step = ("LayerNormalization", ["x", "scale", "bias"], "n", {"axis": -1})
    other: Step = ("LayerNormalization", ["q", "scale", "bias"], OUTPUT, {"axis": -1})
    scaled_graph(
        [norm, ("MatMul", ["n", "query"], "q"), other], weights("scale", "bias", "query"), {"n": smooth(WIDTH)}
    )


def test_one_vector_may_be_both_scale_and_bias(scaled_graph):
    norm: Step = ("LayerNormalization", ["x", "scale", "scale"], "n", {"axis": -1})
    scaled_graph([norm, ("MatMul", ["n", "query"], OUTPUT)], weights("scale", "query"), {"n": smooth(WIDTH)})


def test_two_norms_that_share_their_vectors_absorb_different_scales(scaled_graph):
    steps: list[Step] = [
        ("LayerNormalization", ["x", "scale", "bias"], "n", {"axis": -1}),
        ("MatMul", ["n", "query"], "q"),
        ("LayerNormalization", ["q", "scale", "bias"], "m", {"axis": -1}),
        ("MatMul", ["m", "key"], OUTPUT),
    ]
    source = weights("scale", "bias", "query", "key")
    scaled_graph(steps, source, {"n": smooth(WIDTH, 1), "m": smooth(WIDTH, 2)})


def test_elsewhere_products_get_a_node_and_other_nodes_read_the_unscaled_activation(scaled_graph):
    steps: list[Step] = [
        ("LayerNormalization", ["x", "scale", "bias"], "n", {"axis": -1}),
        ("MatMul", ["n", "query"], "q"),
        ("MatMul", ["n", "key"], "k"),
        ("Add", ["q", "n"], "r"),
        ("Mul", ["r", "k"], OUTPUT),
    ]
    model = scaled_graph(steps, weights("scale", "bias", "query", "key"), {"n": smooth(WIDTH)})
    assert ops(model) == ["LayerNormalization", "Mul", "MatMul", "MatMul", "Add", "Mul"]


def test_an_input_of_the_graph_can_be_scaled(scaled_graph):
    model = scaled_graph([("MatMul", ["x", "query"], OUTPUT)], weights("query"), {"x": smooth(WIDTH)})
    assert ops(model) == ["Mul", "MatMul"]


def test_an_output_of_the_graph_stays_what_it_was(scaled_graph):
    steps: list[Step] = [("Tanh", ["x"], "t"), ("MatMul", ["t", "query"], OUTPUT)]
    scaled_graph(steps, weights("query"), {"t": smooth(WIDTH)}, outputs=(OUTPUT, "t"))


def test_a_product_whose_weights_are_no_matrix_reads_the_unscaled_activation(scaled_graph):
    steps: list[Step] = [
        ("Tanh", ["x"], "t"),
        ("MatMul", ["t", "query"], "q"),
        ("MatMul", ["t", "cube"], "c"),
        ("MatMul", ["t", "bias"], "b"),
        ("Add", ["q", "c"], OUTPUT),
    ]
    scaled_graph(steps, weights("query", "cube", "bias"), {"t": smooth(WIDTH)}, outputs=(OUTPUT, "b"))


def test_channels_are_split_where_they_are_computed(scaled_graph):
    steps: list[Step] = [
        ("MatMul", ["x", "up"], "u"),
        ("Add", ["wide_bias", "u"], "a"),
        ("Gelu", ["a"], "g"),
        ("Mul", ["g", "wide_scale"], "m"),
        ("MatMul", ["m", "down"], OUTPUT),
    ]
    scaling = split(WIDE)
    model = scaled_graph(steps, weights("up", "wide_bias", "wide_scale", "down"), {"m": scaling})
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    assert scaling.added > 0
    assert (shapes["up"], shapes["down"]) == ((WIDTH, WIDE + scaling.added), (WIDE + scaling.added, WIDTH))
    assert shapes["wide_bias"] == shapes["wide_scale"] == (WIDE + scaling.added,)
    assert ops(model) == ["MatMul", "Add", "Gelu", "Mul", "Mul", "MatMul"]


def test_channels_after_a_gate_are_split_in_both_matrices(scaled_graph):
    steps: list[Step] = [
        ("MatMul", ["x", "gate"], "g"),
        ("Sigmoid", ["g"], "s"),
        ("Mul", ["g", "s"], "silu"),
        ("MatMul", ["x", "up"], "u"),
        ("Mul", ["silu", "u"], "m"),
        ("MatMul", ["m", "down"], OUTPUT),
    ]
    model = scaled_graph(steps, weights("gate", "up", "down"), {"m": split(WIDE)})
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    assert shapes["gate"] == shapes["up"] == (WIDTH, WIDE + split(WIDE).added)


def test_channels_are_split_through_a_gelu_of_several_nodes_and_a_vector_that_a_node_holds(scaled_graph):
    steps: list[Step] = [
        ("MatMul", ["x", "up"], "u"),
        constant(np.linspace(-1, 1, WIDE), "held"),
        ("Add", ["held", "u"], "a"),
        constant(0.5, "half"),
        *gelu("a", "g", "half"),
        ("MatMul", ["g", "down"], OUTPUT),
    ]
    scaled_graph(steps, weights("up", "down"), {"g": split(WIDE)})


def test_a_matrix_can_get_more_rows_and_columns(scaled_graph):
    """Its input is scaled or split, and the channels of its products are split, in either order."""
    steps: list[Step] = [
        ("LayerNormalization", ["x", "scale", "bias"], "n", {"axis": -1}),
        ("MatMul", ["n", "query"], "q"),
        ("Tanh", ["q"], "t"),
        ("MatMul", ["t", "up"], "u"),
        ("Relu", ["u"], "a"),
        ("MatMul", ["a", "down"], OUTPUT),
    ]
    source = weights("scale", "bias", "query", "up", "down")
    scalings = {"n": smooth(WIDTH), "t": split(WIDTH), "a": split(WIDE, 2)}
    scaled_graph(steps, source, scalings)
    scaled_graph(steps, source, dict(reversed(scalings.items())))


def test_a_norm_whose_channels_are_split_keeps_the_values_of_its_vector(scaled_graph):
    """The scales get a node, because the vector is split already."""
    steps: list[Step] = [
        ("MatMul", ["x", "up"], "u"),
        ("Mul", ["u", "wide_scale"], "m"),
        ("MatMul", ["m", "down"], OUTPUT),
    ]
    source = weights("up", "wide_scale", "down")
    assert ops(scaled_graph(steps, source, {"m": split(WIDE)})) == ["MatMul", "Mul", "Mul", "MatMul"]
    assert ops(scaled_graph(steps, source, {"m": smooth(WIDE)})) == ["MatMul", "Mul", "MatMul"]


def test_without_scalings_nothing_is_changed():
    model = a_model([("MatMul", ["x", "query"], OUTPUT)], weights("query"))
    before = model.SerializeToString(deterministic=True)
    assert scale_channels(model, Path(), []) == {}
    assert model.SerializeToString(deterministic=True) == before
