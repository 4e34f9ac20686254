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
from build.native.encoder import NATIVE_OPS, Embeddings, EncoderLayer, LayerNorm, Linear, NativeEncoder
from build.native.packing import group_sums, pack
from build.native.relative_bias import biases_by_distance
from build.native.weights import NativeWeights, Product
from build.quantization.calibrated import CalibratedWeights
from build.quantization.record import BY_ROW, WeightRecord, round_to_nearest_record
from build.quantization.rounding import quantize_per_row

NATIVE = "native.onnx"
IR_VERSION = 9
ONNX_OP_SET = 18
"""Of ``Gather``, the only one of ONNX's own ops."""
IDS, LENGTHS, TYPES, ROWS = "input_ids", "lengths", "token_type_ids", "rows"
ABSENT = ""
"""ONNX's name for an input that is left out."""


def write_native(
    graph: GraphIndex, encoder: NativeEncoder, calibrated: CalibratedWeights, work: Path, one_token: bool = False
) -> Path:
    """Write the native graph of ``encoder``, which was matched in ``graph``, to ``work``, and return its path.

    ``one_token``: whether one token of each text is read as a rule. The graph then has an input of the rows to compute,
    and its last layer computes no others, except for their keys and values.
    """
    with ExternalDataWriter(work / f"{NATIVE}.data") as file:
        writer = _Writer(graph, NativeWeights(graph, calibrated), file)
        writer.embed(encoder.embeddings)
        if encoder.relative_bias is not None:
            tokens = graph.constants[encoder.embeddings.position].dims[0] - encoder.embeddings.first_position
            writer.add("relative_bias", biases_by_distance(graph.read(encoder.relative_bias), tokens))
        for index, layer in enumerate(encoder.layers):
            is_last = index == len(encoder.layers) - 1
            output = graph.outputs[0] if is_last else f"layer.{index}"
            writer.layer(index, layer, encoder, output, selects=one_token and is_last)
            release_free_memory()
    op_sets = [helper.make_opsetid(NATIVE_OPS.domain, NATIVE_OPS.version), helper.make_opsetid("", ONNX_OP_SET)]
    model = helper.make_model(writer.graph(), opset_imports=op_sets, ir_version=IR_VERSION, producer_name="cpu2vec")
    (work / NATIVE).write_bytes(model.SerializeToString(deterministic=True))
    return work / NATIVE


def native_records(records: Sequence[WeightRecord], embeddings: Embeddings, graph: GraphIndex) -> list[WeightRecord]:
    """Return how the native graph stores weights, given the calibration's ``records``.

    Scaling needs no node, because the kernels scale while they quantize. The word table has 8 bits; the other tables
    stay in fp32, whatever their size.
    """
    tables = {embeddings.word, embeddings.position, embeddings.token_type}
    matrices = [
        replace(record, folded=bool(record.repeated or record.smoothing))
        for record in records
        if record.weight not in tables
    ]
    return [*matrices, round_to_nearest_record(embeddings.word, tuple(graph.constants[embeddings.word].dims), BY_ROW)]


class _Writer:
    """The nodes and initializers of a native graph, in the order in which they are added."""

    def __init__(self, graph: GraphIndex, weights: NativeWeights, file: ExternalDataWriter) -> None:
        self._graph, self._weights, self._file = graph, weights, file
        self._nodes: list[NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._state, self._width = "embeddings", 0
        self._reads_types = self._selects_rows = False

    def graph(self) -> GraphProto:
        inputs = [
            helper.make_tensor_value_info(IDS, TensorProto.INT64, ["tokens"]),
            helper.make_tensor_value_info(LENGTHS, TensorProto.INT64, ["texts"]),
        ]
        if self._reads_types:
            inputs.append(helper.make_tensor_value_info(TYPES, TensorProto.INT64, ["tokens"]))
        if self._selects_rows:
            inputs.append(helper.make_tensor_value_info(ROWS, TensorProto.INT64, ["rows"]))
        shape = ["rows" if self._selects_rows else "tokens", self._width]
        outputs = [helper.make_tensor_value_info(self._graph.outputs[0], TensorProto.FLOAT, shape)]
        return helper.make_graph(self._nodes, "encoder", inputs, outputs, self._initializers)

    def add(self, name: str, array: NDArray[Any]) -> str:
        """Add an initializer, and return its name."""
        tensor = numpy_helper.from_array(array, name)
        self._initializers.append(self._file.add(tensor, tensor_bytes(tensor, Path())))
        return name

    def embed(self, embeddings: Embeddings) -> None:
        word = quantize_per_row(self._graph.read(embeddings.word))
        position = self._graph.read(embeddings.position)
        types = None if embeddings.token_type is None else self._graph.read(embeddings.token_type)
        self._reads_types = embeddings.reads_types
        if types is not None and not self._reads_types:
            position = position + types[0]
        self._width = position.shape[1]
        inputs = [
            IDS,
            LENGTHS,
            self.add("embeddings.word", word.values),
            self.add("embeddings.word_scale", word.scales),
            self.add("embeddings.position", position),
            *self._norm("embeddings", embeddings.norm),
        ]
        if types is not None and self._reads_types:
            inputs += [TYPES, self.add("embeddings.token_type", types)]
        attributes = {"epsilon": embeddings.norm.epsilon, "first_position": embeddings.first_position}
        self._node("Embedding", inputs, self._state, **attributes)

    def layer(self, index: int, layer: EncoderLayer, encoder: NativeEncoder, output: str, selects: bool) -> None:
        """Add a layer that computes ``output`` from the previous layer's; if it ``selects``, only of some rows."""
        name = f"layer.{index}"
        context, attended = f"{name}.context", f"{name}.attention"
        product = self._weights.joined((layer.query, layer.key, layer.value))
        biases = [] if encoder.relative_bias is None else ["relative_bias"]
        if selects:
            query, key_value = product.split(self._width)
            keys = [self._linear(f"{name}.kv", key_value), LENGTHS, *(biases or [ABSENT])]
            self._select_rows(f"{name}.rows")
            inputs = [*keys, self._linear(f"{name}.query", query), ROWS]
        else:
            inputs = [self._linear(f"{name}.qkv", product), LENGTHS, *biases]
        self._node("Attention", inputs, context, heads=encoder.heads)
        self._attention_output(attended, context, layer.attention_output, layer.attention_norm)
        self._feed_forward(f"{name}.feed_forward", attended, layer, output)
        self._state = output

    def _linear(self, name: str, product: Product) -> str:
        """Add the product of the state, and return its name."""
        self._node("Linear", [self._state, *self._product(name, product), *self._smooth(name, product)], name)
        return name

    def _select_rows(self, name: str) -> None:
        self._nodes.append(helper.make_node("Gather", [self._state, ROWS], [name], name))
        self._state, self._selects_rows = name, True

    def _attention_output(self, name: str, context: str, linear: Linear, norm: LayerNorm) -> None:
        product = self._weights.joined((linear,))
        smooth = self._smooth(name, product) or [ABSENT]
        inputs = [context, *self._product(name, product), *smooth, ABSENT, self._state, *self._norm(name, norm)]
        self._node("Linear", inputs, name, epsilon=norm.epsilon)

    def _feed_forward(self, name: str, attended: str, layer: EncoderLayer, output: str) -> None:
        second, splits = self._weights.with_split_inputs(layer.second)
        first = self._weights.joined((layer.first,)).with_split_outputs(splits)
        inputs = [
            attended,
            *self._product(f"{name}.first", first),
            *(self._smooth(f"{name}.first", first) or [ABSENT]),
            ABSENT,
            *self._product(f"{name}.second", second),
            *self._norm(name, layer.output_norm),
            *self._smooth(f"{name}.second", second),
        ]
        attributes = {"activation": layer.activation.value, "epsilon": layer.output_norm.epsilon}
        self._node("FeedForward", inputs, output, **attributes)

    def _product(self, name: str, product: Product) -> list[str]:
        return [
            self.add(f"{name}.weight", pack(product.values)),
            self.add(f"{name}.scale", product.scales),
            self.add(f"{name}.sums", group_sums(product.values)),
            self.add(f"{name}.bias", product.bias),
        ]

    def _smooth(self, name: str, product: Product) -> list[str]:
        return [] if product.smooth is None else [self.add(f"{name}.smooth", product.smooth)]

    def _norm(self, name: str, norm: LayerNorm) -> list[str]:
        vectors = (("gamma", norm.gamma), ("beta", norm.beta))
        return [self.add(f"{name}.{kind}", self._graph.read(vector)) for kind, vector in vectors]

    def _node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(op, inputs, [output], output, domain=NATIVE_OPS.domain, **attributes))
