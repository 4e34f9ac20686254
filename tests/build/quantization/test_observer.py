"""Activation statistics, against the same graph computed by hand in float64."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from build.errors import UnsupportedModel
from build.graph.external_data import load_graph
from build.graph.index import GraphIndex
from build.graph.session import open_temporary
from build.quantization import observer
from build.quantization.linear_inputs import LinearInput, find_linear_inputs
from build.quantization.observer import CHUNK_TOKENS, SAMPLE_TOKENS, ActivationStats, observe
from tests.support.graphs.tiny_graphs import OUTPUT, a_model, written

VOCABULARY, WIDTH, WIDE = 11, 4, 6
INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
LENGTHS = (3, 1, 7)


def weights() -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(2)
    shapes = {"words": (VOCABULARY, WIDTH), "types": (2, WIDTH), "positions": (3000, WIDTH), "up": (WIDTH, WIDE)}
    shapes |= {"key": (WIDTH, WIDTH), "down": (WIDE, WIDTH)}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def a_graph(path: Path, external: bool = False) -> Path:
    """Write a graph with embeddings of words, types, positions and the mask, and two layers."""
    steps = [
        ("Gather", ["words", "input_ids"], "w"),
        ("Gather", ["types", "token_type_ids"], "t"),
        ("Gather", ["positions", "position_ids"], "p"),
        ("Cast", ["attention_mask"], "mask", {"to": onnx.TensorProto.FLOAT}),
        ("Unsqueeze", ["mask", "last"], "m"),
        ("Add", ["w", "t"], "wt"),
        ("Add", ["wt", "p"], "wtp"),
        ("Add", ["wtp", "m"], "x"),
        ("MatMul", ["x", "key"], "k"),
        ("MatMul", ["x", "up"], "u"),
        ("Relu", ["u"], "a"),
        ("MatMul", ["a", "down"], "d"),
        ("Add", ["d", "k"], OUTPUT),
    ]
    return written(a_model(steps, weights() | {"last": np.array([-1])}, INPUTS), path, external)


def expected(ids: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Compute the two activations: the mask is 1, types are 0, positions count up."""
    tables = {name: table.astype(np.float64) for name, table in weights().items()}
    x = tables["words"][ids] + tables["types"][0] + tables["positions"][: len(ids)] + 1
    return {"x": x, "a": np.maximum(x @ tables["up"], 0)}


def some_texts(lengths: Sequence[int] = LENGTHS) -> list[NDArray[np.int64]]:
    random = np.random.default_rng(3)
    return [random.integers(0, VOCABULARY, length) for length in lengths]


def linear_inputs(graph: Path) -> list[LinearInput]:
    return find_linear_inputs(GraphIndex(load_graph(graph), graph.parent))


def observed(graph: Path, texts: Sequence[NDArray[np.int64]]) -> dict[str, ActivationStats]:
    inputs = linear_inputs(graph)
    return {linear_input.name: stats for linear_input, stats in observe(graph, inputs, texts)}


@pytest.mark.parametrize("external", [False, True])
def test_the_hessian_and_the_maxima_are_numpys(tmp_path: Path, external: bool):
    found = observed(a_graph(tmp_path / "graph.onnx", external), some_texts())
    assert list(found) == ["x", "a"]
    for name, stats in found.items():
        rows = np.concatenate([expected(ids)[name] for ids in some_texts()])
        np.testing.assert_allclose(stats.hessian, rows.T @ rows / len(rows), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(stats.abs_max, np.abs(rows).max(axis=0), rtol=1e-5, atol=1e-6)
        assert stats.hessian.dtype == np.float64
        assert stats.abs_max.dtype == np.float32


def test_the_sample_holds_the_activations_text_by_text(tmp_path: Path):
    found = observed(a_graph(tmp_path / "graph.onnx"), some_texts())
    for name, stats in found.items():
        for ids, rows in zip(some_texts(), stats.sample, strict=True):
            np.testing.assert_allclose(rows, expected(ids)[name], rtol=1e-5, atol=1e-6)


def test_the_sample_ends_with_the_text_that_makes_it_large_enough_and_other_statistics_do_not(tmp_path: Path):
    texts = some_texts((SAMPLE_TOKENS - 1, 5, 2500, 4))
    for name, stats in observed(a_graph(tmp_path / "graph.onnx"), texts).items():
        assert [len(rows) for rows in stats.sample] == [SAMPLE_TOKENS - 1, 5]
        rows = np.concatenate([expected(ids)[name] for ids in texts])
        np.testing.assert_allclose(stats.hessian, rows.T @ rows / len(rows), rtol=1e-5)
        np.testing.assert_allclose(stats.abs_max, np.abs(rows).max(axis=0), rtol=1e-5)


@pytest.mark.parametrize("tokens", [CHUNK_TOKENS - 1, CHUNK_TOKENS, CHUNK_TOKENS + 1, 2 * CHUNK_TOKENS])
def test_no_token_is_lost_at_the_end_of_a_chunk(tmp_path: Path, tokens: int):
    texts = some_texts((tokens - 3, 3))
    rows = np.concatenate([expected(ids)["x"] for ids in texts])
    found = observed(a_graph(tmp_path / "graph.onnx"), texts)["x"]
    np.testing.assert_allclose(found.hessian, rows.T @ rows / tokens, rtol=1e-5)


def many(path: Path, layers: int) -> Path:
    random = np.random.default_rng(4)
    matrices = {f"w{n}": random.standard_normal((WIDTH, WIDTH)) for n in range(layers)}
    steps = [("Gather", ["words", "input_ids"], "x0")]
    for n in range(layers):
        steps += [("MatMul", [f"x{n}", f"w{n}"], f"y{n}"), ("Tanh", [f"y{n}"], f"x{n + 1}")]
    model = a_model(steps, matrices | {"words": weights()["words"]}, ("input_ids",), (f"x{layers}",))
    return written(model, path)


def as_lists(found: dict[str, ActivationStats]) -> dict[str, tuple]:
    return {
        name: (stats.hessian.tolist(), stats.abs_max.tolist(), [rows.tolist() for rows in stats.sample])
        for name, stats in found.items()
    }


@pytest.mark.parametrize("together", [1, 2, 3])
def test_observing_fewer_at_a_time_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int):
    graph, texts = many(tmp_path / "graph.onnx", layers=5), some_texts()
    at_once = as_lists(observed(graph, texts))
    assert list(at_once) == [f"x{n}" for n in range(5)]
    size = 4 * WIDTH**2 + 4 * WIDTH * (SAMPLE_TOKENS + 2 * CHUNK_TOKENS)
    monkeypatch.setattr(observer, "STATS_BYTES", together * size)
    assert as_lists(observed(graph, texts)) == at_once


def test_a_run_begins_where_the_one_before_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Counted in nodes: each run has the layers that it observes."""
    nodes: list[int] = []

    def counted(model: onnx.ModelProto, path: Path) -> object:
        nodes.append(len(model.graph.node))
        return open_temporary(model, path)

    monkeypatch.setattr(observer, "open_temporary", counted)
    monkeypatch.setattr(observer, "STATS_BYTES", 1)
    observed(many(tmp_path / "graph.onnx", layers=4), some_texts())
    assert nodes == [1, 2, 2, 2]


def test_a_sum_over_all_layers_is_computed_from_the_inputs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No activation that was observed leads to the next one alone."""
    random = np.random.default_rng(5)
    matrices = {f"w{n}": random.standard_normal((WIDTH, WIDTH)).astype(np.float32) for n in range(3)}
    steps = [("Gather", ["words", "input_ids"], "r0")]
    for n in range(3):
        steps += [
            ("Tanh", [f"r{n}"], f"x{n}"),
            ("MatMul", [f"x{n}", f"w{n}"], f"y{n}"),
            ("Add", [f"r{n}", f"y{n}"], f"r{n + 1}"),
        ]
    model = a_model(steps, matrices | {"words": weights()["words"]}, ("input_ids",), ("r3",))
    graph, texts = written(model, tmp_path / "graph.onnx"), some_texts()
    at_once = as_lists(observed(graph, texts))
    assert list(at_once) == ["x0", "x1", "x2"]
    monkeypatch.setattr(observer, "STATS_BYTES", 1)
    assert as_lists(observed(graph, texts)) == at_once


def test_an_input_that_is_too_large_for_memory_is_observed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(observer, "STATS_BYTES", 1)
    assert len(observed(many(tmp_path / "graph.onnx", layers=2), some_texts())) == 2


def test_other_inputs_are_not_observed(tmp_path: Path):
    graph = many(tmp_path / "graph.onnx", layers=3)
    last = linear_inputs(graph)[2]
    assert [linear_input for linear_input, _ in observe(graph, [last], some_texts())] == [last]
    assert list(observe(graph, [], some_texts())) == []


def test_activations_that_are_the_same_for_every_text_count_once_per_text(tmp_path: Path):
    """As with positions that are looked up regardless of a text's length."""
    steps = [
        ("Gather", ["words", "input_ids"], "w"),
        ("Relu", ["positions"], "p"),
        ("MatMul", ["p", "key"], "k"),
        ("ReduceMean", ["k"], "mean"),
        ("Add", ["w", "mean"], OUTPUT),
    ]
    tables = {name: weights()[name] for name in ("words", "key")} | {"positions": weights()["positions"][:9]}
    found = observed(written(a_model(steps, tables, ("input_ids",)), tmp_path / "graph.onnx"), some_texts())
    rows = np.maximum(tables["positions"].astype(np.float64), 0)
    np.testing.assert_allclose(found["p"].hessian, rows.T @ rows / 9, rtol=1e-6)
    assert [rows.shape for rows in found["p"].sample] == [(9, WIDTH)] * 3


def test_values_that_are_not_numbers_are_visible(tmp_path: Path):
    tables = weights()
    tables["words"][5, 2] = np.nan
    steps = [("Gather", ["words", "input_ids"], "x"), ("MatMul", ["x", "key"], OUTPUT)]
    model = a_model(steps, {name: tables[name] for name in ("words", "key")}, ("input_ids",))
    found = observed(written(model, tmp_path / "graph.onnx"), [np.arange(VOCABULARY)])["x"]
    assert np.isnan(found.abs_max).tolist() == [False, False, True, False]
    assert np.isnan(found.hessian[2]).all()


def test_an_input_that_cannot_be_provided_is_named(tmp_path: Path):
    steps = [
        ("Gather", ["words", "input_ids"], "x"),
        ("Add", ["x", "pixels"], "y"),
        ("MatMul", ["y", "key"], OUTPUT),
    ]
    model = a_model(steps, {name: weights()[name] for name in ("words", "key")}, ("input_ids", "pixels"))
    graph = written(model, tmp_path / "graph.onnx")
    with pytest.raises(UnsupportedModel, match="the graph has an input that this build cannot provide: pixels"):
        observed(graph, some_texts())


def test_the_graph_and_its_weights_are_not_changed_and_are_released(tmp_path: Path):
    """So that later stages have the memory, and may remove the files."""
    graph = a_graph(tmp_path / "graph.onnx", external=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    found = observed(graph, some_texts())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    assert len(found) == 2


def test_without_texts_nothing_is_known(tmp_path: Path):
    for stats in observed(a_graph(tmp_path / "graph.onnx"), []).values():
        assert stats.sample == ()
        assert not stats.abs_max.any()
        assert not stats.hessian.any()


def test_every_input_is_returned_with_its_statistics(tmp_path: Path):
    graph = many(tmp_path / "graph.onnx", layers=2)
    inputs = linear_inputs(graph)
    found: list[LinearInput] = [linear_input for linear_input, _ in observe(graph, inputs, some_texts())]
    assert found == inputs
