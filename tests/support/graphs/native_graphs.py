"""Tiny models as exported graphs and as native ones, and what both compute."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from build.graph.external_data import externalize_weights, load_graph
from build.graph.index import GraphIndex
from build.model.describe import EncoderSpec, describe
from build.model.trust import NO_TRUST
from build.native.encoder import Embeddings, NotNative
from build.native.lowering import write_native
from build.native.plan import NativePlan, plan_native
from build.progress import silence_libraries
from build.pytorch.export import export
from build.quantization.calibrated import UNCALIBRATED, CalibratedWeights, ScaledInput
from build.quantization.groups import channel_groups
from build.quantization.linear_inputs import find_linear_inputs
from build.quantization.rounding import QuantizedMatrix, expand_groups, quantize_per_channel, quantize_per_row
from build.quantization.smoothing import ChannelScaling
from tests.support.graphs.kernel_ops import ACTIVATIONS, Array, attention, host_library, layer_norm, options
from tests.support.graphs.tiny_graphs import session_of
from tests.support.models import tiny_models
from tests.support.models.tiny_models import TinyModel

NATIVE_MODELS = [
    TinyModel("native-bert", "bert", "bert", "BertModel"),
    TinyModel("native-dpr", "dpr", "bert", "DPRContextEncoder", pooling=None),
    TinyModel("native-distilbert", "distilbert", "cased distilbert", "DistilBertModel"),
    TinyModel("native-roberta", "roberta", "roberta", "RobertaModel"),
    TinyModel("native-xlm-roberta", "xlm-roberta", "xlm-roberta", "XLMRobertaModel"),
    TinyModel("native-mpnet", "mpnet", "mpnet", "MPNetModel"),
]
WORDS = 100
"""Every model's vocabulary has more words; among the first are the padding tokens."""

LENGTHS = (7, 40, 1, 33, 20)

Texts = list[NDArray[np.int64]]


@dataclass(frozen=True)
class Exported:
    """A tiny model's graph in fp32, with its weights beside it."""

    graph: Path
    spec: EncoderSpec

    @property
    def model(self) -> ModelProto:
        return load_graph(self.graph)

    def plan(self) -> NativePlan:
        return plan_native(self.graph, self.spec)

    def reason(self) -> str:
        """Return why it is not native."""
        with pytest.raises(NotNative) as caught:
            self.plan()
        return str(caught.value)

    def changed(self, model: ModelProto) -> Exported:
        """Return the same with another graph, in a new file beside this one."""
        path = self.graph.with_name(f"changed-{len(list(self.graph.parent.iterdir()))}.onnx")
        path.write_bytes(model.SerializeToString())
        return replace(self, graph=path)


@functools.cache
def scratch_directory() -> tempfile.TemporaryDirectory[str]:
    """Return the directory of this process's exported graphs, which is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="native-graphs-")


@functools.cache
def exported(model: TinyModel) -> Exported:
    directory = tiny_models.make(model)
    work = Path(scratch_directory().name) / model.name
    work.mkdir()
    (spec,) = describe(directory, False).encoders.values()
    with silence_libraries():
        return Exported(externalize_weights(export(spec.folder, spec.family, work, NO_TRUST), work), spec)


def sample_texts(lengths: tuple[int, ...] = LENGTHS, seed: int = 1) -> Texts:
    """Return texts of these lengths, as random token ids."""
    rng = np.random.default_rng(seed)
    return [rng.integers(10, WORDS, length) for length in lengths]


def lowered(
    plan: NativePlan, work: Path, calibrated: CalibratedWeights = UNCALIBRATED, one_token: bool = False
) -> Path:
    """Write the native graph to ``work``, and return its path."""
    work.mkdir(exist_ok=True)
    return write_native(plan.graph, plan.encoder, calibrated, work, one_token)


def run_exported(graph: Path, texts: Texts) -> list[NDArray[np.float32]]:
    """Compute the token embeddings of each text alone, with the exported graph."""
    session = session_of(graph)
    names = [value.name for value in session.get_inputs()]
    feeds = ({"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0} for ids in texts)
    return [session.run(None, {name: feed[name][np.newaxis] for name in names})[0][0] for feed in feeds]


def open_native(graph: Path, isa: str | None = None) -> ort.InferenceSession:
    host_library()
    return ort.InferenceSession(str(graph), options(isa), providers=["CPUExecutionProvider"])


def run_native(graph: Path, texts: Texts, isa: str | None = None) -> list[NDArray[np.float32]]:
    """Compute the token embeddings of all texts together, with the kernels."""
    lengths = np.array([len(ids) for ids in texts])
    session = open_native(graph, isa)
    output = session.run(["last_hidden_state"], {"input_ids": np.concatenate(texts), "lengths": lengths})[0]
    return np.split(output, np.cumsum(lengths)[:-1])


def run_native_in_fp64(graph: Path, texts: Texts) -> list[NDArray[np.float64]]:
    """Compute a native graph as docs/kernels.md defines its ops, in float64 and without quantizing activations."""
    model = onnx.load(graph)
    values: dict[str, Any] = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    lengths = [len(ids) for ids in texts]
    values |= {"input_ids": np.concatenate(texts), "lengths": lengths, "": None}
    for node in model.graph.node:
        assert node.domain == "cpu2vec"
        inputs = [values[name] for name in node.input]
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        values[node.output[0]] = OPS[node.op_type](*inputs, **attributes)
    return np.split(values["last_hidden_state"], np.cumsum(lengths)[:-1])


def _embedding(
    ids: Array,
    lengths: Sequence[int],
    word: Array,
    scale: Array,
    position: Array,
    gamma: Array,
    beta: Array,
    types: Array | None = None,
    token_type: Array | None = None,
    *,
    epsilon: float,
    first_position: int,
) -> Array:
    positions = first_position + np.concatenate([np.arange(length) for length in lengths])
    rows = word[ids].astype(np.float64) * scale[ids, np.newaxis] + position[positions]
    if types is not None and token_type is not None:
        rows += token_type[types]
    return layer_norm(rows, gamma, beta, epsilon)


def _linear(
    x: Array,
    weight: Array,
    scale: Array,
    sums: Array,
    bias: Array,
    smooth: Array | None = None,
    shift: Array | None = None,
    residual: Array | None = None,
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: float = 0.0,
) -> Array:
    assert shift is None
    values = weight.transpose(1, 3, 0, 2).reshape(weight.shape[1] * 4, -1)
    assert not values[x.shape[1] :].any()
    assert not values[:, len(bias) :].any()
    values = values[: x.shape[1], : len(bias)].astype(np.float64)
    groups = channel_groups(x.shape[1])
    np.testing.assert_array_equal(sums, [part.sum(axis=0) for part in np.split(values, np.cumsum(groups)[:-1])])
    product: Array = (x if smooth is None else x * smooth) @ (values * np.repeat(scale, groups, axis=0)) + bias
    if residual is None:
        return product
    assert gamma is not None
    assert beta is not None
    return layer_norm(product + residual, gamma, beta, epsilon)


def _feed_forward(x: Array, *given: Any, activation: bytes, epsilon: float) -> Array:
    inputs: list[Any] = [*given, None, None]
    first, second, norm, scaling = inputs[:6], inputs[6:10], inputs[10:12], inputs[12:14]
    hidden = ACTIVATIONS[activation.decode()](_linear(x, *first))
    arguments = (*second, *scaling, x, *norm, epsilon)
    return _linear(hidden, *arguments)


def _attention(qkv: Array, lengths: list[int], biases: Array | None = None, heads: int = 0) -> Array:
    return attention(qkv, lengths, heads, 1 / np.sqrt(qkv.shape[1] / 3 / heads), biases)


def _encoder(*given: Any, heads: int, activation: bytes, epsilon: float, first_position: int) -> Array:
    """One of norms after residuals, of all rows."""
    tables, (biases, rows, pooled), layers = given[:9], given[9:12], given[12:]
    assert rows is None
    assert not len(pooled)
    inputs: list[Any] = [None if value is not None and value.size == 0 else value for value in layers]
    lengths: list[int] = given[1]
    state = _embedding(*tables, epsilon=epsilon, first_position=first_position)
    for start in range(0, len(inputs), 40):
        layer = inputs[start : start + 40]
        joined, block, others = layer[:6], layer[24:38], (*layer[6:16], *layer[38:])
        assert all(value is None for value in others)
        context = _attention(_linear(state, *joined), lengths, biases, heads)
        arguments: tuple[Any, ...] = (*layer[16:22], state, *layer[22:24], epsilon)
        state = _linear(context, *arguments)
        state = _feed_forward(state, *block, activation=activation, epsilon=epsilon)
    return state


OPS: dict[str, Callable[..., Array]] = {
    "Encoder": _encoder,
    "Embedding": _embedding,
    "Linear": _linear,
    "FeedForward": _feed_forward,
    "Attention": _attention,
}


def random_calibration(graph: Path, seed: int = 0) -> CalibratedWeights:
    """Scale every activation at random, and split some channels wherever channels can be split."""
    rng = np.random.default_rng(seed)
    model = onnx.load(graph)
    matrices = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scaled: list[ScaledInput] = []
    quantized: dict[str, QuantizedMatrix] = {}
    for linear_input in find_linear_inputs(GraphIndex(load_graph(graph), graph.parent)):
        splits = np.ones(linear_input.width, dtype=np.int64)
        splits[rng.integers(linear_input.width, size=4)] = 3 if linear_input.producers else 1
        scales = (rng.uniform(0.5, 2, splits.sum()) * np.repeat(splits, splits)).astype(np.float32)
        scaling = ChannelScaling(splits, scales, None)
        scaled.append(ScaledInput(linear_input, scaling))
        groups = channel_groups(len(scales))
        for name in linear_input.matrices:
            quantized[name] = quantize_per_channel(scaling.matrix(matrices[name]), groups)
    return CalibratedWeights(tuple(scaled), quantized, (), ())


def with_quantized_weights(graph: Path, plan: NativePlan, calibrated: CalibratedWeights) -> Path:
    """Write the exported graph with the native graph's weights, in floats, and return its path."""
    model = onnx.load(graph)
    scalings = {matrix: scaled.scaling for scaled in calibrated.scaled for matrix in scaled.linear_input.matrices}
    multiplied = {node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
    assert isinstance(plan.encoder.embeddings, Embeddings)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name == plan.encoder.embeddings.word:
            word = quantize_per_row(values)
            values = word.values * word.scales[:, np.newaxis]
        elif tensor.name in multiplied:
            matrix = calibrated.quantized.get(tensor.name) or quantize_per_channel(values, channel_groups(len(values)))
            values = matrix.values * expand_groups(matrix.scales, channel_groups(len(matrix.values))).astype(np.float64)
            if scaling := scalings.get(tensor.name):
                starts = np.cumsum(scaling.splits) - scaling.splits
                values = np.add.reduceat(values / scaling.scales[:, np.newaxis], starts, axis=0)
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    path = graph.with_name("quantized.onnx")
    path.write_bytes(model.SerializeToString())
    return path
