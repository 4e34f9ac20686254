"""Native graphs: the same network with 8-bit weights, whatever the family and its shape."""

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
from build.native.encoder import NATIVE_OPS, Embeddings
from build.native.lowering import native_records
from build.quantization.calibrate import calibrate
from build.quantization.calibrated import UNCALIBRATED
from build.quantization.record import BY_COLUMN, BY_ROW, WeightRecord
from build.quantization.scheme import NATIVE
from manifest import Layout, OpSet
from runtime.inference.engine import open_engine
from runtime.inference.native_ops import load_native_ops
from runtime.inference.token_batch import TokenBatch
from tests.support.graphs.kernel_ops import available
from tests.support.graphs.native_graphs import (
    NATIVE_MODELS,
    exported,
    lowered,
    open_native,
    random_calibration,
    run_exported,
    run_native,
    run_native_in_fp64,
    sample_texts,
    with_quantized_weights,
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
"""It has heads of 80, and channels in two and in three groups. At that width, random weights double rounding errors."""

ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "tanh": "tanh",
}
MIN_COSINE = 0.99
"""A token's embedding must come this close. Random weights lose more than trained ones; a wrong scale loses all."""


def by_name(model: TinyModel) -> str:
    return model.name


def assert_same_network(model: TinyModel, tmp_path: Path, calibrated: bool) -> None:
    """In 64-bit floats, the native graph computes what the exported one does with the same weights."""
    original = exported(model)
    plan, texts = original.plan(), sample_texts()
    weights = random_calibration(original.graph) if calibrated else UNCALIBRATED
    expected = run_exported(with_quantized_weights(original.graph, plan, weights), texts)
    actual = run_native_in_fp64(lowered(plan, tmp_path, weights), texts)
    for embeddings, wanted in zip(actual, expected, strict=True):
        np.testing.assert_allclose(embeddings, wanted, rtol=0, atol=2e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("model", [*NATIVE_MODELS, *ODD_SHAPES, WIDE], ids=by_name)
@pytest.mark.parametrize("calibrated", [False, True], ids=["nearest values", "scaled and split channels"])
def test_the_native_graph_is_the_same_network(model: TinyModel, calibrated: bool, tmp_path: Path):
    assert_same_network(model, tmp_path, calibrated)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_function_is_recognized_by_what_it_computes(activation: str, tmp_path: Path):
    model = replace(BERT, name=f"native-{activation}", settings={"hidden_act": activation})
    layers = exported(model).plan().encoder.layers
    assert {layer.activation.value for layer in layers} == {ACTIVATIONS[activation]}
    assert_same_network(model, tmp_path, calibrated=False)


@pytest.mark.parametrize("model", [*NATIVE_MODELS, *ODD_SHAPES], ids=by_name)
def test_the_kernels_come_close_to_the_original(model: TinyModel, tmp_path: Path):
    original, texts = exported(model), sample_texts()
    calibrated = calibrate(original.graph, tmp_path, sample_texts((30,) * 20, seed=2), NATIVE, progress=False)
    graph = lowered(original.plan(), tmp_path / "native", calibrated)
    expected = run_exported(original.graph, texts)
    for isa in available():
        for embeddings, wanted in zip(run_native(graph, texts, isa), expected, strict=True):
            assert cosines(embeddings, wanted).min() > MIN_COSINE


@pytest.mark.parametrize("model", NATIVE_MODELS, ids=by_name)
def test_a_native_graph_is_described_as_one(model: TinyModel, tmp_path: Path):
    graph = write_graph(lowered(exported(model).plan(), tmp_path / "work"), tmp_path, "model")
    assert (graph.inputs, graph.output) == (("input_ids", "lengths", "pooled"), "last_hidden_state")
    assert (graph.layout, graph.ops) == (Layout.PACKED, OpSet("cpu2vec", 7))
    written = onnx.load(tmp_path / graph.file, load_external_data=False)
    assert [(entry.domain, entry.version) for entry in written.opset_import] == [("cpu2vec", 7)]
    assert {node.domain for node in written.graph.node} == {"cpu2vec"}
    open_native(tmp_path / graph.file)


def with_output(model: ModelProto, name: str) -> ModelProto:
    """Give the network's output another name."""
    before = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = [name if output == before else output for output in node.output]
    model.graph.output[0].name = name
    return model


def test_the_output_keeps_its_name(tmp_path: Path):
    changed = exported(BERT).changed(with_output(exported(BERT).model, "token_embeddings"))
    written = onnx.load(lowered(changed.plan(), tmp_path), load_external_data=False)
    assert [value.name for value in written.graph.output] == ["token_embeddings"]
    assert [node.output[0] for node in written.graph.node][-1] == "token_embeddings"


def test_weights_have_8_bits_and_start_on_pages(tmp_path: Path):
    model = replace(BERT, name="native-pages", settings={"hidden_size": 64, "intermediate_size": 256})
    graph = write_graph(lowered(exported(model).plan(), tmp_path / "work"), tmp_path, "model")
    tensors = onnx.load(tmp_path / graph.file, load_external_data=False).graph.initializer
    weights = [tensor for tensor in tensors if len(tensor.dims) == 4]
    assert len(weights) == 2 * 4
    assert all(uses_external_data(tensor) and tensor.data_type == onnx.TensorProto.INT8 for tensor in weights)
    external = [tensor for tensor in tensors if uses_external_data(tensor)]
    assert all(int(ExternalDataInfo(tensor).offset or 0) % 4096 == 0 for tensor in external)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path):
    original = exported(MPNET)
    calibrated = random_calibration(original.graph)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_graph(lowered(original.plan(), tmp_path / f"{name}-work", calibrated), tmp_path / name, "model")
    for file in ("model.onnx", "model.onnx.data"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


@pytest.mark.parametrize("model", NATIVE_MODELS, ids=by_name)
def test_a_text_of_all_positions_is_computed_and_a_longer_one_refused(model: TinyModel, tmp_path: Path):
    original = exported(model)
    positions = original.spec.family.positions({"max_position_embeddings": model.positions, "pad_token_id": 1})
    graph, texts = lowered(original.plan(), tmp_path), sample_texts((positions,))
    (embeddings,), (expected,) = run_native(graph, texts), run_exported(original.graph, texts)
    assert cosines(embeddings, expected).mean() > MIN_COSINE
    with pytest.raises(Exception, match="truncate it"):
        run_native(graph, sample_texts((positions + 1,)))


@pytest.mark.parametrize("model", NATIVE_MODELS, ids=by_name)
def test_other_texts_in_a_run_change_nothing(model: TinyModel, tmp_path: Path):
    graph, texts = lowered(exported(model).plan(), tmp_path), sample_texts()
    for text, together in zip(texts, run_native(graph, texts), strict=True):
        (alone,) = run_native(graph, [text])
        np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("model", [*NATIVE_MODELS, ODD_SHAPES[2]], ids=by_name)
def test_a_graph_that_computes_some_rows_gives_them_the_same_bits(model: TinyModel, tmp_path: Path):
    original, texts = exported(model), sample_texts()
    weights = random_calibration(original.graph)
    every = lowered(original.plan(), tmp_path / "every", weights)
    some = lowered(original.plan(), tmp_path / "some", weights, one_token=True)
    lengths = np.array([len(ids) for ids in texts])
    ends = np.cumsum(lengths)
    choices = {
        "first": ends - lengths,
        "last": ends - 1,
        "one of all texts": ends[-1:] - 1,
        "none": ends[:0],
        "all": np.arange(ends[-1]),
        "odd": np.arange(1, ends[-1], 2),
    }
    for isa in available():
        expected = np.concatenate(run_native(every, texts, isa))
        session = open_native(some, isa)
        for rows in choices.values():
            feed = {"input_ids": np.concatenate(texts), "lengths": lengths, "rows": rows}
            np.testing.assert_array_equal(session.run(None, feed)[0], expected[rows])


def test_a_graph_that_computes_some_rows_is_described_as_one(tmp_path: Path):
    graph = write_graph(lowered(exported(BERT).plan(), tmp_path / "work", one_token=True), tmp_path, "model")
    assert (graph.inputs, graph.output) == (("input_ids", "lengths", "rows", "pooled"), "last_hidden_state")
    assert (graph.layout, graph.ops) == (Layout.PACKED, OpSet("cpu2vec", 7))


def test_the_runtime_gets_the_same_embeddings_from_either_graph(tmp_path: Path):
    plan, native = exported(BERT).plan(), load_native_ops([NATIVE_OPS])
    texts = [TokenBatch.of(ids.tolist()) for ids in sample_texts((1, 20, 40))]
    batch = TokenBatch.joined([texts[0].wanting(0), texts[1], texts[2].wanting(39)])
    found = []
    for one_token in (False, True):
        name = f"one-{one_token}"
        graph = write_graph(lowered(plan, tmp_path / "work", one_token=one_token), tmp_path, name)
        engine = open_engine(tmp_path / graph.file, graph, 2, native)
        found += [engine.run(batch, cores) for cores in (1, 2)]
        found.append(np.concatenate([engine.run(text, 1) for text in texts])[batch.wanted_rows])
    assert len(found[0]) == 1 + 20 + 1
    for embeddings in found[1:]:
        np.testing.assert_array_equal(embeddings, found[0])


def a_record(weight: str, storage: str = BY_COLUMN, smoothing: float | None = None, repeated: int = 0) -> WeightRecord:
    return WeightRecord(weight, (32, 32), storage, smoothing, repeated, False, "gptq", 0.01)


class TestRecords:
    """How a native graph stores its weights."""

    @staticmethod
    def tables() -> Embeddings:
        return exported(BERT).plan().encoder.embeddings

    def native(self, *records: WeightRecord) -> list[WeightRecord]:
        return native_records(records, self.tables(), exported(BERT).plan().graph)

    def test_the_word_table_is_listed_once_whatever_its_size(self):
        expected = [WeightRecord(self.tables().word, (282, 32), BY_ROW, None, 0, False, "nearest", None)]
        assert self.native() == self.native(a_record(self.tables().word, BY_ROW)) == expected

    def test_positions_stay_in_fp32(self):
        assert self.native(a_record(self.tables().position, BY_ROW)) == self.native()

    def test_scaling_and_splitting_channels_needs_no_node(self):
        given = [a_record("smoothed", smoothing=0.5), a_record("split", repeated=16), a_record("plain")]
        assert [(record.weight, record.folded) for record in self.native(*given)[:-1]] == [
            ("smoothed", True),
            ("split", True),
            ("plain", False),
        ]
