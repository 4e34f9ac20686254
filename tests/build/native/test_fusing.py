"""One node for a whole encoder: the same bits as the nodes that it replaces, and what stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, helper

from build.clip.export import IMAGE, TEXT
from build.native import lowering
from build.native.fusing import fused
from tests.support.graphs.clip_graphs import clip
from tests.support.graphs.kernel_ops import available
from tests.support.graphs.native_graphs import (
    NATIVE_MODELS,
    exported,
    lowered,
    open_native,
    random_calibration,
    sample_texts,
)
from tests.support.models.tiny_models import TinyModel

BERT, *_ = NATIVE_MODELS


@pytest.fixture
def in_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Lowers a plan without fusing its nodes."""

    def lower(*arguments: object, **named: object) -> Path:
        with monkeypatch.context() as patched:
            patched.setattr(lowering, "fused", lambda graph: graph)
            return lowered(*arguments, **named)

    return lower


def ops_of(graph: GraphProto) -> list[str]:
    return [node.op_type for node in graph.node]


def read(path: Path) -> ModelProto:
    return onnx.load(path, load_external_data=False)


@pytest.mark.parametrize("one_token", [False, True])
@pytest.mark.parametrize("model", NATIVE_MODELS, ids=lambda model: model.name)
def test_one_node_has_the_bits_of_those_that_it_replaces(
    model: TinyModel, one_token: bool, in_steps: Callable[..., Path], tmp_path: Path
):
    original, texts = exported(model), sample_texts()
    weights = random_calibration(original.graph)
    steps = in_steps(original.plan(), tmp_path / "steps", weights, one_token)
    whole = lowered(original.plan(), tmp_path / "whole", weights, one_token)
    assert len(ops_of(read(steps).graph)) > len(ops_of(read(whole).graph)) == 1
    assert whole.with_name("native.onnx.data").read_bytes() == steps.with_name("native.onnx.data").read_bytes()
    lengths = np.array([len(ids) for ids in texts])
    feed = {"input_ids": np.concatenate(texts), "lengths": lengths}
    feed |= {"rows": np.cumsum(lengths) - 1} if one_token else {}
    for isa in available():
        expected, found = (open_native(graph, isa).run(None, feed)[0] for graph in (steps, whole))
        np.testing.assert_array_equal(found, expected)


def test_an_encoder_of_texts_with_norms_before_products_is_one_node(tmp_path: Path):
    assert ops_of(read(clip().tower(TEXT).quantize().graph).graph) == ["Encoder"]


def test_an_encoder_of_images_stays_as_it_is(tmp_path: Path):
    graph = read(clip().tower(IMAGE).quantize().graph).graph
    assert "Encoder" not in ops_of(graph)
    assert fused(graph) == graph


def another_epsilon(graph: GraphProto) -> None:
    graph.node[-1].attribute.remove(next(entry for entry in graph.node[-1].attribute if entry.name == "epsilon"))
    graph.node[-1].attribute.append(helper.make_attribute("epsilon", 0.5))


def an_earlier_residual(graph: GraphProto) -> None:
    graph.node[-2].input[7] = "embeddings"


def another_context(graph: GraphProto) -> None:
    graph.node[-2].input[0] = graph.node[3].input[0]


def an_activation_of_a_projection(graph: GraphProto) -> None:
    graph.node[-2].attribute.append(helper.make_attribute("activation", "gelu"))


def a_norm_of_queries_and_keys(graph: GraphProto) -> None:
    given = [*graph.node[-4].input, *[""] * 8][:8]
    graph.node[-4].input[:] = [*given, *graph.node[-2].input[8:10]]


def another_output(graph: GraphProto) -> None:
    graph.output[0].name = graph.node[-2].output[0]


def no_layers(graph: GraphProto) -> None:
    del graph.node[1:]


def one_more_node(graph: GraphProto) -> None:
    graph.node.append(helper.make_node("Tanh", [graph.output[0].name], ["more"]))


@pytest.mark.parametrize(
    "change",
    [
        another_epsilon,
        an_earlier_residual,
        another_context,
        an_activation_of_a_projection,
        a_norm_of_queries_and_keys,
        another_output,
        no_layers,
        one_more_node,
    ],
)
def test_what_one_node_would_not_compute_stays_as_it_is(
    change: Callable[[GraphProto], None], in_steps: Callable[..., Path], tmp_path: Path
):
    graph = read(in_steps(exported(BERT).plan(), tmp_path)).graph
    assert ops_of(fused(graph)) == ["Encoder"]
    change(graph)
    before = GraphProto()
    before.CopyFrom(graph)
    assert fused(graph) == before
