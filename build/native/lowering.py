"""Writes an encoder as a graph of the native kernels' ops (docs/kernels.md, "Ops"), matrix by matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from build.graph.external_data import ExternalDataWriter, tensor_bytes
from build.graph.index import GraphIndex
from build.host.malloc import release_free_memory
from build.native.encoder import NATIVE_OPS, Embeddings, Layer, LayerNorm, Linear, NativeEncoder
from build.native.packing import pack, sums
from build.native.relative_bias import biases_by_distance
from build.native.weights import NativeWeights, Product
from build.quantization.calibrated import CalibratedWeights
from build.quantization.record import BY_ROW, WeightRecord, round_to_nearest_record
from build.quantization.rounding import quantize_per_row

NATIVE = "native.onnx"
IR_VERSION = 9
IDS, LENGTHS = "input_ids", "lengths"
ABSENT = ""
"""ONNX's name for an input that is left out."""


def write_native(parts: GraphIndex, encoder: NativeEncoder, prepared: CalibratedWeights, work: Path) -> Path:
    """The path of the graph of ``encoder``, whose fp32 weights ``parts`` has and ``prepared`` has prepared."""
    with ExternalDataWriter(work / f"{NATIVE}.data") as file:
        writer = _Writer(parts, NativeWeights(parts, prepared), file)
        writer.embed(encoder.embeddings)
        if encoder.relative_bias is not None:
            tokens = parts.constants[encoder.embeddings.position].dims[0] - encoder.embeddings.first_position
            writer.add("relative_bias", biases_by_distance(parts.read(encoder.relative_bias), tokens))
        for number, layer in enumerate(encoder.layers):
            output = parts.outputs[0] if number == len(encoder.layers) - 1 else f"layer.{number}"
            writer.layer(number, layer, encoder, output)
            release_free_memory()
    sets = [helper.make_opsetid(NATIVE_OPS.domain, NATIVE_OPS.version)]
    model = helper.make_model(writer.graph(), opset_imports=sets, ir_version=IR_VERSION, producer_name="cpu2vec")
    (work / NATIVE).write_bytes(model.SerializeToString(deterministic=True))
    return work / NATIVE


def native_treatments(
    treatments: Sequence[WeightRecord], embeddings: Embeddings, parts: GraphIndex
) -> list[WeightRecord]:
    """The kernels smooth as they round: no node. Words have 8 bits, positions stay in fp32 whatever their size."""
    tables = {embeddings.word, embeddings.position, embeddings.token_type}
    kept = [replace(one, folded=bool(one.repeated or one.smoothing)) for one in treatments if one.weight not in tables]
    return [*kept, round_to_nearest_record(embeddings.word, tuple(parts.constants[embeddings.word].dims), BY_ROW)]


class _Writer:
    def __init__(self, parts: GraphIndex, weights: NativeWeights, file: ExternalDataWriter) -> None:
        self._parts, self._weights, self._file = parts, weights, file
        self._nodes: list[NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._state, self._width = "embeddings", 0

    def graph(self) -> GraphProto:
        inputs = [
            helper.make_tensor_value_info(IDS, TensorProto.INT64, ["tokens"]),
            helper.make_tensor_value_info(LENGTHS, TensorProto.INT64, ["texts"]),
        ]
        outputs = [helper.make_tensor_value_info(self._parts.outputs[0], TensorProto.FLOAT, ["tokens", self._width])]
        return helper.make_graph(self._nodes, "encoder", inputs, outputs, self._initializers)

    def add(self, name: str, array: NDArray[Any]) -> str:
        tensor = numpy_helper.from_array(array, name)
        self._initializers.append(self._file.add(tensor, tensor_bytes(tensor, Path())))
        return name

    def embed(self, embeddings: Embeddings) -> None:
        word = quantize_per_row(self._parts.read(embeddings.word))
        position = self._parts.read(embeddings.position)
        if embeddings.token_type is not None:
            position = position + self._parts.read(embeddings.token_type)[0]
        self._width = position.shape[1]
        inputs = [
            IDS,
            LENGTHS,
            self.add("embeddings.word", word.values),
            self.add("embeddings.word_scale", word.scales),
            self.add("embeddings.position", position),
            *self._norm("embeddings", embeddings.norm),
        ]
        settings = {"epsilon": embeddings.norm.epsilon, "first_position": embeddings.first_position}
        self._node("Embedding", inputs, self._state, **settings)

    def layer(self, number: int, layer: Layer, encoder: NativeEncoder, output: str) -> None:
        """From the state before to ``output``: attention and a feed-forward block, each with its residual and norm."""
        name, state = f"layer.{number}", self._state
        qkv, context, attended = f"{name}.qkv", f"{name}.context", f"{name}.attention"
        product = self._weights.joined((layer.query, layer.key, layer.value))
        self._node("Linear", [state, *self._product(qkv, product), *self._smooth(qkv, product)], qkv)
        biases = [] if encoder.relative_bias is None else ["relative_bias"]
        self._node("Attention", [qkv, LENGTHS, *biases], context, heads=encoder.heads)
        self._attention_output(attended, context, layer.attention_output, layer.attention_norm)
        self._feed_forward(f"{name}.feed_forward", attended, layer.first, layer.second, layer, output)
        self._state = output

    def _attention_output(self, name: str, context: str, linear: Linear, norm: LayerNorm) -> None:
        product = self._weights.joined((linear,))
        smooth = self._smooth(name, product) or [ABSENT]
        inputs = [context, *self._product(name, product), *smooth, ABSENT, self._state, *self._norm(name, norm)]
        self._node("Linear", inputs, name, epsilon=norm.epsilon)

    def _feed_forward(
        self, name: str, given: str, first_linear: Linear, second_linear: Linear, layer: Layer, output: str
    ) -> None:
        second, copies = self._weights.with_repeated_inputs(second_linear)
        first = self._weights.joined((first_linear,)).with_repeated_outputs(copies)
        inputs = [
            given,
            *self._product(f"{name}.first", first),
            *(self._smooth(f"{name}.first", first) or [ABSENT]),
            ABSENT,
            *self._product(f"{name}.second", second),
            *self._norm(name, layer.output_norm),
            *self._smooth(f"{name}.second", second),
        ]
        settings = {"activation": layer.function.value, "epsilon": layer.output_norm.epsilon}
        self._node("FeedForward", inputs, output, **settings)

    def _product(self, name: str, product: Product) -> list[str]:
        return [
            self.add(f"{name}.weight", pack(product.steps)),
            self.add(f"{name}.scale", product.scales),
            self.add(f"{name}.sums", sums(product.steps)),
            self.add(f"{name}.bias", product.bias),
        ]

    def _smooth(self, name: str, product: Product) -> list[str]:
        return [] if product.smooth is None else [self.add(f"{name}.smooth", product.smooth)]

    def _norm(self, name: str, norm: LayerNorm) -> list[str]:
        vectors = (("gamma", norm.gamma), ("beta", norm.beta))
        return [self.add(f"{name}.{kind}", self._parts.read(vector)) for kind, vector in vectors]

    def _node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(op, inputs, [output], output, domain=NATIVE_OPS.domain, **attributes))
