"""Rewriting for the native kernels: the same network, on weights in 8 bits, whatever the family and its shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from build.fidelity.cosine import cosines
from build.graph.external_data import write_graph
from build.native.encoder import Embeddings
from build.native.lowering import native_treatments
from build.quantization.calibrate import calibrate
from build.quantization.calibrated import UNCALIBRATED
from build.quantization.record import BY_COLUMN, BY_ROW, WeightRecord
from build.quantization.scheme import NATIVE
from manifest import Layout, OpSet
from tests.support.graphs.kernel_ops import available
from tests.support.graphs.native_graphs import (
    NATIVE_MODELS,
    exported,
    in_fp32,
    in_fp64,
    made_up_preparation,
    natively,
    open_native,
    rewritten,
    some_texts,
    with_rounded_weights,
)
from tests.support.models.tiny_models import TinyModel

BERT, *_, MPNET = NATIVE_MODELS
SHAPES = {
    "heads of 16": {"hidden_size": 48, "num_attention_heads": 3, "intermediate_size": 80},
    "heads of 6": {"hidden_size": 18, "num_attention_heads": 3, "intermediate_size": 50},
    "one head, one layer": {"hidden_size": 20, "num_attention_heads": 1, "num_hidden_layers": 1},
    "a hidden block narrower than the state": {"intermediate_size": 7},
    "another epsilon": {"layer_norm_eps": 0.1},
}
ODD_SHAPES = [replace(BERT, name=f"native {name}", settings=settings) for name, settings in SHAPES.items()]
WIDE = replace(
    BERT, name="native wide", settings={"hidden_size": 400, "num_attention_heads": 5, "intermediate_size": 650}
)
"""Heads of 80, and channels in two and in three groups. Random weights of that width double what rounding costs."""

FUNCTIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu", "tanh": "tanh"}
COSINE = 0.99
"""Of a token; random weights lose more than trained ones, and a wrong scale or a mixed-up matrix loses all."""


def by_name(model: TinyModel) -> str:
    return model.name


def assert_same_network(model: TinyModel, tmp_path: Path, prepared_by_hand: bool) -> None:
    """In 64-bit floats the native graph gives what the exported one gives with the same weights."""
    one = exported(model)
    plan = one.plan()
    prepared = made_up_preparation(one.graph) if prepared_by_hand else UNCALIBRATED
    texts = some_texts()
    expected = in_fp32(with_rounded_weights(one.graph, plan, prepared), texts)
    for text, wanted in zip(in_fp64(rewritten(plan, tmp_path, prepared), texts), expected, strict=True):
        np.testing.assert_allclose(text, wanted, rtol=0, atol=2e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("model", [*NATIVE_MODELS, *ODD_SHAPES, WIDE], ids=by_name)
@pytest.mark.parametrize("prepared", [False, True], ids=["nearest steps", "scaled and repeated channels"])
def test_the_native_graph_is_the_same_network(model: TinyModel, prepared: bool, tmp_path: Path):
    assert_same_network(model, tmp_path, prepared)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_activation_function_is_told_by_what_it_computes(function: str, tmp_path: Path):
    model = replace(BERT, name=f"native-{function}", settings={"hidden_act": function})
    assert {layer.function.value for layer in exported(model).plan().encoder.layers} == {FUNCTIONS[function]}
    assert_same_network(model, tmp_path, prepared_by_hand=False)


@pytest.mark.parametrize("model", [*NATIVE_MODELS, *ODD_SHAPES], ids=by_name)
def test_the_kernels_give_nearly_what_the_original_gives(model: TinyModel, tmp_path: Path):
    one, texts = exported(model), some_texts()
    prepared = calibrate(one.graph, tmp_path, some_texts((30,) * 20, seed=2), NATIVE, progress=False)
    graph = rewritten(one.plan(), tmp_path / "native", prepared)
    for isa in available():
        for text, expected in zip(natively(graph, texts, isa), in_fp32(one.graph, texts), strict=True):
            assert cosines(text, expected).min() > COSINE


@pytest.mark.parametrize("model", NATIVE_MODELS, ids=by_name)
def test_a_graph_says_that_it_is_native(model: TinyModel, tmp_path: Path):
    graph = write_graph(rewritten(exported(model).plan(), tmp_path / "work"), tmp_path, "model")
    assert (graph.inputs, graph.output) == (("input_ids", "lengths"), "last_hidden_state")
    assert (graph.layout, graph.ops) == (Layout.PACKED, OpSet("cpu2vec", 2))
    written = onnx.load(tmp_path / graph.file, load_external_data=False)
    assert [(entry.domain, entry.version) for entry in written.opset_import] == [("cpu2vec", 2)]
    assert {node.domain for node in written.graph.node} == {"cpu2vec"}
    open_native(tmp_path / graph.file)


def renamed_output(model: ModelProto, name: str) -> ModelProto:
    """The same network whose output has another name."""
    before = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = [name if output == before else output for output in node.output]
    model.graph.output[0].name = name
    return model


def test_the_output_keeps_its_name(tmp_path: Path):
    changed = exported(BERT).changed(renamed_output(exported(BERT).model, "token_embeddings"))
    written = onnx.load(rewritten(changed.plan(), tmp_path), load_external_data=False)
    assert [value.name for value in written.graph.output] == ["token_embeddings"]
    assert [node.output[0] for node in written.graph.node][-1] == "token_embeddings"


def test_weights_lie_on_pages_and_in_8_bits(tmp_path: Path):
    model = replace(BERT, name="native-pages", settings={"hidden_size": 64, "intermediate_size": 256})
    graph = write_graph(rewritten(exported(model).plan(), tmp_path / "work"), tmp_path, "model")
    tensors = onnx.load(tmp_path / graph.file, load_external_data=False).graph.initializer
    weights = [tensor for tensor in tensors if len(tensor.dims) == 4]
    assert len(weights) == 2 * 4
    assert all(uses_external_data(tensor) and tensor.data_type == onnx.TensorProto.INT8 for tensor in weights)
    outside = [tensor for tensor in tensors if uses_external_data(tensor)]
    assert all(int(ExternalDataInfo(tensor).offset or 0) % 4096 == 0 for tensor in outside)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path):
    one = exported(MPNET)
    prepared = made_up_preparation(one.graph)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_graph(rewritten(one.plan(), tmp_path / f"{name}-work", prepared), tmp_path / name, "model")
    for file in ("model.onnx", "model.onnx.data"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_a_text_of_all_positions_is_computed_and_a_longer_one_refused(tmp_path: Path):
    for model in NATIVE_MODELS:
        one = exported(model)
        positions = one.planned.family.positions({"max_position_embeddings": model.positions, "pad_token_id": 1})
        graph = rewritten(one.plan(), tmp_path / model.name)
        (text,), (expected,) = natively(graph, some_texts((positions,))), in_fp32(one.graph, some_texts((positions,)))
        assert cosines(text, expected).mean() > COSINE
        with pytest.raises(Exception, match="truncate it"):
            natively(graph, some_texts((positions + 1,)))


def test_neighbours_change_nothing(tmp_path: Path):
    texts = some_texts()
    for model in NATIVE_MODELS:
        graph = rewritten(exported(model).plan(), tmp_path / model.name)
        for alone, together in zip((natively(graph, [text])[0] for text in texts), natively(graph, texts), strict=True):
            np.testing.assert_array_equal(alone, together)


def a_treatment(
    weight: str, storage: str = BY_COLUMN, smoothing: float | None = None, repeated: int = 0
) -> WeightRecord:
    return WeightRecord(weight, (32, 32), storage, smoothing, repeated, False, "gptq", 0.01)


class TestTreatments:
    """How a native graph's weights are told: smoothing costs nothing, words have 8 bits, positions none."""

    @staticmethod
    def tables() -> Embeddings:
        return exported(BERT).plan().encoder.embeddings

    def told(self, *treatments: WeightRecord) -> list[WeightRecord]:
        return native_treatments(treatments, self.tables(), exported(BERT).plan().parts)

    def test_words_are_told_once_whatever_their_size(self):
        expected = [WeightRecord(self.tables().word, (282, 32), BY_ROW, None, 0, False, "nearest", None)]
        assert self.told() == self.told(a_treatment(self.tables().word, BY_ROW)) == expected

    def test_positions_stay_in_fp32(self):
        assert self.told(a_treatment(self.tables().position, BY_ROW)) == self.told()

    def test_what_is_done_to_channels_costs_no_node(self):
        given = [a_treatment("smoothed", smoothing=0.5), a_treatment("repeated", repeated=16), a_treatment("plain")]
        assert [(one.weight, one.folded) for one in self.told(*given)[:-1]] == [
            ("smoothed", True),
            ("repeated", True),
            ("plain", False),
        ]
