"""Writes a matched encoder as a graph of the native kernels' ops (docs/kernels.md, "Ops")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onnx import GraphProto, TensorProto, helper

from build.graph.external_data import ExternalDataWriter
from build.graph.index import GraphIndex
from build.native.encoder import NATIVE_OPS, Embeddings, NativeEncoder, PatchEmbeddings
from build.native.fusing import fused
from build.native.graph_writer import ABSENT, LENGTHS, ROWS, GraphWriter
from build.native.image_lowering import write_image_encoder
from build.native.relative_bias import biases_by_distance
from build.native.weights import NativeWeights
from build.quantization.calibrated import CalibratedWeights
from build.quantization.record import BY_ROW, WeightRecord, round_to_nearest_record
from build.quantization.rounding import quantize_per_row

NATIVE = "native.onnx"
IR_VERSION = 9
ONNX_OP_SET = 18
"""Of the few nodes that are of ONNX's own ops."""
IDS, TYPES = "input_ids", "token_type_ids"


def write_native(
    graph: GraphIndex, encoder: NativeEncoder, calibrated: CalibratedWeights, work: Path, one_token: bool = False
) -> Path:
    """Write the native graph of ``encoder``, which was matched in ``graph``, to ``work``, and return its path.

    ``one_token``: whether one token of each text is read as a rule. The graph then has an input of the rows to compute,
    and its last layer computes no others, except for their keys and values. Of an image, only the class token is read.
    """
    with ExternalDataWriter(work / f"{NATIVE}.data") as file:
        writer = GraphWriter(graph, encoder, NativeWeights(graph, calibrated), file)
        if isinstance(encoder.embeddings, PatchEmbeddings):
            written = write_image_encoder(writer, encoder, encoder.embeddings)
        else:
            written = fused(_write_text_encoder(writer, encoder, encoder.embeddings, one_token))
    op_sets = [helper.make_opsetid(NATIVE_OPS.domain, NATIVE_OPS.version), helper.make_opsetid("", ONNX_OP_SET)]
    model = helper.make_model(written, opset_imports=op_sets, ir_version=IR_VERSION, producer_name="cpu2vec")
    (work / NATIVE).write_bytes(model.SerializeToString(deterministic=True))
    return work / NATIVE


def native_records(
    records: Sequence[WeightRecord], embeddings: Embeddings | PatchEmbeddings, graph: GraphIndex
) -> list[WeightRecord]:
    """Return how the native graph stores weights, given the calibration's ``records``.

    Scaling needs no node, because the kernels scale while they quantize. The word table has 8 bits; the other tables
    stay in fp32, whatever their size.
    """
    tables: dict[str | None, str] = {}
    if isinstance(embeddings, Embeddings):
        tables = dict.fromkeys((embeddings.word, embeddings.position, embeddings.token_type), embeddings.word)
    matrices = [
        replace(record, folded=bool(record.repeated or record.smoothing))
        for record in records
        if record.weight not in tables
    ]
    words = [round_to_nearest_record(word, tuple(graph.constants[word].dims), BY_ROW) for word in {*tables.values()}]
    return [*matrices, *words]


def _write_text_encoder(
    writer: GraphWriter, encoder: NativeEncoder, embeddings: Embeddings, one_token: bool
) -> GraphProto:
    graph, reads_types = writer.source, embeddings.token_type is not None and embeddings.reads_types
    state, width = _embed(writer, embeddings), graph.constants[embeddings.word].dims[1]
    biases = ABSENT
    if encoder.relative_bias is not None:
        tokens = graph.constants[embeddings.position].dims[0] - embeddings.first_position
        biases = writer.add("relative_bias", biases_by_distance(graph.read(encoder.relative_bias), tokens))
    output = writer.layers(state, graph.outputs[0], biases, one_token)
    axes = {IDS: "tokens", LENGTHS: "texts"}
    axes |= {TYPES: "tokens"} if reads_types else {}
    axes |= {ROWS: "rows"} if one_token else {}
    return writer.graph(
        [helper.make_tensor_value_info(name, TensorProto.INT64, [axis]) for name, axis in axes.items()],
        helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows" if one_token else "tokens", width]),
    )


def _embed(writer: GraphWriter, embeddings: Embeddings) -> str:
    graph = writer.source
    word, position = quantize_per_row(graph.read(embeddings.word)), graph.read(embeddings.position)
    types = None if embeddings.token_type is None else graph.read(embeddings.token_type)
    if types is not None and not embeddings.reads_types:
        position = position + types[0]
    inputs = [
        IDS,
        LENGTHS,
        writer.add("embeddings.word", word.values),
        writer.add("embeddings.word_scale", word.scales),
        writer.add("embeddings.position", position),
        *writer.norm("embeddings", embeddings.norm),
    ]
    if types is not None and embeddings.reads_types:
        inputs += [TYPES, writer.add("embeddings.token_type", types)]
    attributes = {} if embeddings.norm is None else {"epsilon": embeddings.norm.epsilon}
    return writer.native("Embedding", inputs, "embeddings", **attributes, first_position=embeddings.first_position)
