"""Exports tiny models, rewrites them for the native kernels, and computes such a graph in 64-bit floats."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from build.graph.external_data import externalize_weights, load_graph
from build.model.describe import EncoderSpec, describe
from build.model.trust import NO_TRUST
from build.native.lowering import write_native
from build.native.plan import NativePlan, Plans, plan_native
from build.progress import silence_libraries
from build.pytorch.export import export
from build.quantization.calibrated import UNCALIBRATED, CalibratedWeights, ScaledInput
from build.quantization.groups import channel_groups
from build.quantization.linear_inputs import find_linear_inputs
from build.quantization.rounding import expand_groups, quantize_per_channel, quantize_per_row
from build.quantization.smoothing import ChannelScaling
from tests.support.graphs.kernel_ops import ACTIVATIONS, attention, host_library, layer_norm, options
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
"""Fewer than any of their vocabularies has; among the first are those that stand for padding."""

LENGTHS = (7, 40, 1, 33, 20)


@dataclass(frozen=True)
class Exported:
    """A tiny model's graph in fp32, with its weights beside it."""

    graph: Path
    planned: EncoderSpec

    @property
    def model(self) -> ModelProto:
        return load_graph(self.graph)

    def plans(self) -> Plans:
        return plan_native({Path(): self.graph}, {Path(): self.planned})

    def plan(self) -> NativePlan:
        return self.plans().native[Path()]

    def reason(self) -> str:
        """Why it is not native."""
        return self.plans().stock[Path()]

    def changed(self, model: ModelProto) -> Exported:
        """The same with another graph, in a new file beside this one."""
        path = self.graph.with_name(f"changed-{len(list(self.graph.parent.iterdir()))}.onnx")
        path.write_bytes(model.SerializeToString())
        return replace(self, graph=path)


@functools.cache
def home() -> tempfile.TemporaryDirectory[str]:
    """Where this process keeps exported graphs; removed when it ends."""
    return tempfile.TemporaryDirectory(prefix="native-graphs-")


@functools.cache
def exported(model: TinyModel) -> Exported:
    directory = tiny_models.make(model)
    work = Path(home().name) / model.name
    work.mkdir()
    (planned,) = describe(directory, False).encoders.values()
    with silence_libraries():
        return Exported(externalize_weights(export(planned.folder, planned.family, work, NO_TRUST), work), planned)


def some_texts(lengths: tuple[int, ...] = LENGTHS, seed: int = 1) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(10, WORDS, length) for length in lengths]


def rewritten(plan: NativePlan, work: Path, prepared: CalibratedWeights = UNCALIBRATED) -> Path:
    work.mkdir(exist_ok=True)
    return write_native(plan.parts, plan.encoder, prepared, work)


def in_fp32(graph: Path, texts: list[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
    """Token embeddings of each text alone, by the exported graph."""
    session = session_of(graph)
    names = [value.name for value in session.get_inputs()]
    feeds = ({"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0} for ids in texts)
    return [session.run(None, {name: feed[name][np.newaxis] for name in names})[0][0] for feed in feeds]


def open_native(graph: Path, isa: str | None = None) -> ort.InferenceSession:
    host_library()
    return ort.InferenceSession(str(graph), options(isa), providers=["CPUExecutionProvider"])


def natively(graph: Path, texts: list[NDArray[np.int64]], isa: str | None = None) -> list[NDArray[np.float32]]:
    """Token embeddings of all texts together, by the kernels."""
    lengths = np.array([len(ids) for ids in texts])
    session = open_native(graph, isa)
    output = session.run(["last_hidden_state"], {"input_ids": np.concatenate(texts), "lengths": lengths})[0]
    return np.split(output, np.cumsum(lengths)[:-1])


def in_fp64(graph: Path, texts: list[NDArray[np.int64]]) -> list[NDArray[np.float64]]:
    """What docs/kernels.md says of each op, in float64: weights in 8 bits as they are, and activations not rounded."""
    model = onnx.load(graph)
    values: dict[str, Any] = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    lengths = [len(ids) for ids in texts]
    values |= {"input_ids": np.concatenate(texts), "lengths": lengths, "": None}
    for node in model.graph.node:
        assert node.domain == "cpu2vec"
        inputs = [values[name] for name in node.input]
        settings = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        values[node.output[0]] = OPS[node.op_type](*inputs, **settings)
    return np.split(values["last_hidden_state"], np.cumsum(lengths)[:-1])


def _embedding(ids, lengths, word, scale, position, gamma, beta, epsilon, first_position):
    places = first_position + np.concatenate([np.arange(length) for length in lengths])
    rows = word[ids].astype(np.float64) * scale[ids, np.newaxis] + position[places]
    return layer_norm(rows, gamma, beta, epsilon)


def _linear(x, weight, scale, total, bias, smooth=None, shift=None, residual=None, gamma=None, beta=None, epsilon=0.0):
    assert shift is None
    steps = weight.transpose(1, 3, 0, 2).reshape(weight.shape[1] * 4, -1)
    assert not steps[x.shape[1] :].any()
    assert not steps[:, len(bias) :].any()
    steps = steps[: x.shape[1], : len(bias)].astype(np.float64)
    groups = channel_groups(x.shape[1])
    np.testing.assert_array_equal(total, [part.sum(axis=0) for part in np.split(steps, np.cumsum(groups)[:-1])])
    made = (x if smooth is None else x * smooth) @ (steps * np.repeat(scale, groups, axis=0)) + bias
    return made if residual is None else layer_norm(made + residual, gamma, beta, epsilon)


def _feed_forward(x, *inputs, activation, epsilon):
    inputs = [*inputs, None, None]
    first, second, norm, before = (*inputs[:4], *inputs[4:6]), inputs[6:10], inputs[10:12], inputs[12:14]
    hidden = ACTIVATIONS[activation.decode()](_linear(x, *first))
    return _linear(hidden, *second, *before, x, *norm, epsilon)


def _attention(qkv, lengths, biases=None, heads=0):
    return attention(qkv, lengths, heads, 1 / np.sqrt(qkv.shape[1] / 3 / heads), biases)


OPS = {"Embedding": _embedding, "Linear": _linear, "FeedForward": _feed_forward, "Attention": _attention}


def made_up_preparation(graph: Path, seed: int = 0) -> CalibratedWeights:
    """Every activation is scaled, and where its channels can be repeated, some of them are."""
    rng = np.random.default_rng(seed)
    model = onnx.load(graph)
    matrices = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scaled, rounded = [], {}
    for one in find_linear_inputs(load_graph(graph)):
        copies = np.ones(one.width, dtype=np.int64)
        copies[rng.integers(one.width, size=4)] = 3 if one.producers else 1
        divisors = (rng.uniform(0.5, 2, copies.sum()) * np.repeat(copies, copies)).astype(np.float32)
        scaling = ChannelScaling(copies, divisors, None)
        scaled.append(ScaledInput(one, scaling))
        groups = channel_groups(len(divisors))
        rounded |= {name: quantize_per_channel(scaling.matrix(matrices[name]), groups) for name in one.matrices}
    return CalibratedWeights(tuple(scaled), rounded, (), ())


def with_rounded_weights(graph: Path, plan: NativePlan, prepared: CalibratedWeights) -> Path:
    """The exported graph with weights as the native one has them: rounded, scales multiplied out."""
    model = onnx.load(graph)
    scalings = {name: one.scaling for one in prepared.scaled for name in one.linear_input.matrices}
    multiplied = {node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name == plan.encoder.embeddings.word:
            rounded = quantize_per_row(values)
            values = rounded.values * rounded.scales[:, np.newaxis]
        elif tensor.name in multiplied:
            rounded = prepared.quantized.get(tensor.name) or quantize_per_channel(values, channel_groups(len(values)))
            values = rounded.values.astype(np.float64) * expand_groups(
                rounded.scales, channel_groups(len(rounded.values))
            )
            if scaling := scalings.get(tensor.name):
                starts = np.cumsum(scaling.splits) - scaling.splits
                values = np.add.reduceat(values / scaling.scales[:, np.newaxis], starts, axis=0)
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    path = graph.with_name("rounded.onnx")
    path.write_bytes(model.SerializeToString())
    return path
