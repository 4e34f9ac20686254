"""Writes an encoder of images: patches become tokens, and the class token's embedding is the only one that is read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, helper

from build.native.encoder import LayerNorm, NativeEncoder, PatchEmbeddings
from build.native.graph_writer import ABSENT, LENGTHS, ROWS, GraphWriter

PIXELS = "pixel_values"
CHANNELS = 3


def write_image_encoder(writer: GraphWriter, encoder: NativeEncoder, embeddings: PatchEmbeddings) -> GraphProto:
    """Add everything from pixels, (images, 3, side, side), to vectors, (images, dim), and return the graph."""
    graph, side = writer.source, embeddings.side * embeddings.grid
    images = writer.onnx("Shape", [PIXELS], "images", start=0, end=1)
    state, tokens = _embed(writer, embeddings, images), len(embeddings.table)
    writer.onnx("Expand", [writer.add("tokens", np.array([tokens])), images], LENGTHS)
    writer.onnx("CumSum", [LENGTHS, writer.add("axis", np.array(0))], ROWS, exclusive=1)
    output, width = graph.outputs[0], embeddings.table.shape[1]
    if encoder.projection is None:
        writer.layers(state, output, ABSENT, selects=True)
    else:
        pooled = writer.layers(state, "pooled", ABSENT, selects=True)
        writer.linear("projection", pooled, writer.joined(encoder.projection), output=output)
        width = graph.constants[encoder.projection.matrix].dims[1]
    return writer.graph(
        [helper.make_tensor_value_info(PIXELS, TensorProto.FLOAT, ["images", CHANNELS, side, side])],
        helper.make_tensor_value_info(output, TensorProto.FLOAT, ["images", width]),
    )


def _embed(writer: GraphWriter, embeddings: PatchEmbeddings, images: str) -> str:
    """Patches by their product, normalized with what is added to them. The class token's row is the same in all images.

    Returns the embeddings of all tokens, (images * tokens, width).
    """
    side, grid, table = embeddings.side, embeddings.grid, embeddings.table
    patches, width = grid * grid, table.shape[1]

    def reshape(value: str, name: str, *shape: int) -> str:
        return writer.onnx("Reshape", [value, writer.add(f"{name}.shape", np.array(shape))], name)

    def repeated(name: str, rows: NDArray[np.float32]) -> str:
        return writer.onnx("Expand", [writer.add(name, rows[np.newaxis]), f"{images}.shape"], f"{name}.repeated")

    writer.onnx("Concat", [images, writer.add("ones", np.array([1, 1]))], f"{images}.shape", axis=0)
    cut = reshape(PIXELS, "patches.cut", -1, CHANNELS, grid, side, grid, side)
    cut = writer.onnx("Transpose", [cut], "patches.in_rows", perm=[0, 2, 4, 1, 3, 5])
    cut = reshape(cut, "patches", -1, CHANNELS * side * side)
    positions = reshape(repeated("positions", table[1:]), "positions.of_all", -1, width)
    product = writer.joined(embeddings.product)
    embedded = writer.linear("embeddings.patches", cut, product, residual=positions, norm=embeddings.norm)
    embedded = reshape(embedded, "embeddings.by_image", -1, patches, width)
    norm = embeddings.norm
    first = repeated(
        "class", _normalized(table[:1], norm, writer.source.read(norm.gamma), writer.source.read(norm.beta))
    )
    return reshape(writer.onnx("Concat", [first, embedded], "embeddings.all", axis=1), "embeddings", -1, width)


def _normalized(
    rows: NDArray[np.float32], norm: LayerNorm, gamma: NDArray[np.float32], beta: NDArray[np.float32]
) -> NDArray[np.float32]:
    centered = rows.astype(np.float64) - rows.mean(axis=1, keepdims=True, dtype=np.float64)
    normalized = centered / np.sqrt(np.square(centered).mean(axis=1, keepdims=True) + norm.epsilon)
    return (normalized * gamma + beta).astype(np.float32)
