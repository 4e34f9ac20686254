"""What the index of a graph says about its nodes, and the parts of a graph that it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from build.graph.external_data import load_graph
from build.graph.index import MAX_SUBGRAPH_WEIGHTS, GraphIndex, ancestors, cut_at
from tests.support.graphs.tiny_graphs import OUTPUT, Step, a_model, constant, session_of, written

WIDTH, WIDE = 3, 5
STEPS: list[Step] = [
    constant(np.arange(WIDE), "held"),
    ("Identity", ["copied"], "copy"),
    ("MatMul", ["x", "up"], "u"),
    ("Add", ["u", "held"], "a"),
    ("Mul", ["a", "a"], "square"),
    ("MatMul", ["square", "down"], OUTPUT),
]


def weights() -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(1)
    shapes = {"up": (WIDTH, WIDE), "down": (WIDE, WIDTH), "copied": (WIDTH,)}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(params=[False, True], ids=["inline", "external"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> GraphIndex:
    return GraphIndex(load_graph(written(a_model(STEPS, weights()), tmp_path / "graph.onnx", request.param)), tmp_path)


def names(nodes: list[onnx.NodeProto]) -> list[str]:
    return [node.output[0] for node in nodes]


def test_constants_are_initializers_and_what_constant_nodes_hold(index: GraphIndex):
    assert set(index.constants) == {"up", "down", "copied", "held"}
    assert set(index.initializers) == {"up", "down", "copied"}
    np.testing.assert_array_equal(index.read("held"), np.arange(WIDE))
    for name, values in weights().items():
        np.testing.assert_array_equal(index.read(name), values)


def test_nodes_are_found_by_their_name_and_by_what_they_compute(index: GraphIndex):
    assert index.node("/u") is index.producer("u")
    assert index.producer("u").op_type == "MatMul"
    assert index.node("u") is None
    assert index.producer("x") is None
    assert index.producer("up") is None
    assert index.outputs == [OUTPUT]


def test_consumers_are_listed_once_each_in_order(index: GraphIndex):
    assert names(index.consumers("a")) == ["square"]
    assert names(index.consumers("u")) == ["a"]
    assert index.consumers(OUTPUT) == []


def test_what_a_branch_reads_has_the_branching_node_as_a_consumer():
    inner = a_model([("Add", ["x", "y"], "sum")], {}, (), ("sum",)).graph
    steps: list[Step] = [
        ("If", ["condition"], "chosen", {"then_branch": inner, "else_branch": inner}),
        ("Relu", ["y"], OUTPUT),
    ]
    index = GraphIndex(a_model(steps, {}, ("condition", "x", "y")), Path())
    assert names(index.consumers("y")) == ["chosen", OUTPUT]
    assert names(index.consumers("x")) == ["chosen"]


def test_copies_are_followed_to_what_they_copy(index: GraphIndex):
    assert index.resolve_identity("copy") == index.resolve_identity("copied") == "copied"
    assert index.resolve_identity("u") == "u"


@pytest.mark.parametrize(
    ("value", "shape", "found"),
    [
        ("up", (WIDTH, WIDE), "up"),
        ("up", (None, WIDE), "up"),
        ("up", (None, None), "up"),
        ("copy", (WIDTH,), "copied"),
        ("held", (WIDE,), "held"),
        ("up", (WIDE, WIDTH), None),
        ("up", (None,), None),
        ("u", (None, None), None),
        ("x", (None, None), None),
    ],
)
def test_weights_are_constants_of_the_shape_that_is_asked_for(
    index: GraphIndex, value: str, shape: tuple[int | None, ...], found: str | None
):
    assert index.weight(value, *shape) == found


@pytest.mark.parametrize("array", [np.ones(WIDTH, dtype=np.int64), np.ones((0,), dtype=np.float32)])
def test_weights_are_fp32_and_not_empty(array: NDArray):
    assert GraphIndex(a_model([("Identity", ["w"], OUTPUT)], {"w": array}), Path()).weight("w", None) is None


def test_a_part_is_run_on_its_own(index: GraphIndex):
    """With its weights, and the constants that nodes hold."""
    random = np.random.default_rng(2)
    x, u = random.standard_normal((2, WIDTH)), random.standard_normal((2, WIDE))
    found = index.run({"x": x.astype(np.float32)}, "square")
    np.testing.assert_allclose(found, (x @ weights()["up"] + np.arange(WIDE)) ** 2, rtol=1e-4, atol=1e-4)
    found = index.run({"u": u.astype(np.float32)}, OUTPUT)
    np.testing.assert_allclose(found, (u + np.arange(WIDE)) ** 2 @ weights()["down"], rtol=1e-4, atol=1e-4)


def test_given_values_are_not_computed(index: GraphIndex):
    given = np.float32([[1, 2, 3, 4, 5]])
    assert index.run({"u": given}, "u") is given
    both = index.run({"x": np.ones((1, WIDTH), dtype=np.float32), "a": given}, "square")
    np.testing.assert_array_equal(both, given**2)


def test_what_depends_on_other_values_is_not_run(index: GraphIndex):
    assert index.run({"held": np.ones(WIDE, dtype=np.float32)}, "a") is None
    assert index.run({}, OUTPUT) is None


def test_what_cannot_be_run_gives_nothing(index: GraphIndex):
    assert index.run({"x": np.ones((1, WIDTH + 1), dtype=np.float32)}, "u") is None
    assert index.run({"x": np.ones((1, WIDTH), dtype=np.int64)}, "u") is None


@pytest.mark.parametrize("surplus", [0, 1])
def test_a_part_with_large_weights_is_not_run(surplus: int):
    columns = MAX_SUBGRAPH_WEIGHTS // 4 + surplus
    model = a_model([("MatMul", ["x", "w"], OUTPUT)], {"w": np.ones((1, columns))})
    found = GraphIndex(model, Path()).run({"x": np.ones((1, 1), dtype=np.float32)}, OUTPUT)
    assert (found is None) == bool(surplus)


def test_ancestors_end_at_given_values():
    nodes = a_model(STEPS, weights()).graph.node
    assert names(ancestors(nodes, [OUTPUT])) == ["held", "u", "a", "square", OUTPUT]
    assert names(ancestors(nodes, [OUTPUT], ["u"])) == ["held", "a", "square", OUTPUT]
    assert names(ancestors(nodes, ["copy", "u"])) == ["copy", "u"]
    assert ancestors(nodes, ["a"], ["a"]) == []


def a_branching_model() -> ModelProto:
    inner = a_model([("Add", ["w", "outside"], "sum")], {}, (), ("sum",)).graph
    steps: list[Step] = [
        ("Gather", ["words", "input_ids"], "w"),
        ("Relu", ["table"], "outside"),
        ("If", ["switch"], "either", {"then_branch": inner, "else_branch": inner}),
        ("MatMul", ["either", "key"], "k"),
        ("Gather", ["types", "token_type_ids"], "t"),
        ("Add", ["k", "t"], OUTPUT),
    ]
    tables = {"words": np.ones((3, 4)), "table": np.ones(4), "key": np.ones((4, 4)), "types": np.ones((2, 4))}
    model = a_model(steps, tables, ("input_ids", "token_type_ids"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "switch"))
    return model


@pytest.mark.parametrize(
    ("values", "nodes", "initializers", "inputs"),
    [
        (["w"], ["w"], ["words"], ["input_ids"]),
        (["t"], ["t"], ["types"], ["token_type_ids"]),
        (["k"], ["w", "outside", "either", "k"], ["words", "table", "key", "switch"], ["input_ids"]),
        (["t", "w"], ["w", "t"], ["words", "types"], ["input_ids", "token_type_ids"]),
        (["input_ids"], [], [], ["input_ids"]),
    ],
)
def test_a_graph_that_is_cut_keeps_what_its_new_outputs_need(
    values: list[str], nodes: list[str], initializers: list[str], inputs: list[str]
):
    """Including what branches read from outside."""
    graph = a_branching_model().graph
    cut_at(graph, values)
    assert [value.name for value in graph.output] == values
    assert names([*graph.node]) == nodes
    assert [tensor.name for tensor in graph.initializer] == initializers
    assert [value.name for value in graph.input] == inputs


def test_a_value_that_is_given_becomes_an_input():
    graph = a_model(STEPS, weights()).graph
    cut_at(graph, [OUTPUT], given=["a", "u"])
    assert names([*graph.node]) == ["square", OUTPUT]
    assert [tensor.name for tensor in graph.initializer] == ["down"]
    assert [value.name for value in graph.input] == ["a"]


def test_a_graph_that_is_cut_computes_what_it_did(tmp_path: Path):
    model = a_branching_model()
    cut_at(model.graph, ["k", "w"])
    session = session_of(written(model, tmp_path / "cut.onnx"))
    found = session.run(None, {"input_ids": np.array([0, 2])})
    assert [value.tolist() for value in found] == [[[8.0] * 4] * 2, [[1.0] * 4] * 2]
