"""Writes a graph with its weights beside it, aligned so that onnxruntime maps them from disk instead of copying."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper

from build.export import OUTPUT
from manifest import GRAPH_FILE, WEIGHTS_FILE, Graph, Layout

ALIGNMENT = 4096
"""Bytes; the page size of the targets. An offset that is not a multiple of it cannot be mapped."""

INLINE_BELOW = 1024
"""Bytes; smaller tensors stay in the graph's file."""


def write_graph(graph: Path, directory: Path) -> Graph:
    """Write ``model.onnx`` and ``model.onnx.data`` into ``directory``. The same graph gives the same bytes."""
    model = onnx.load(graph)
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    with (directory / WEIGHTS_FILE).open("wb") as file:
        for tensor in model.graph.initializer:
            content = numpy_helper.to_array(tensor).tobytes()
            if len(content) < INLINE_BELOW:
                continue
            file.write(bytes(-file.tell() % ALIGNMENT))
            tensor.CopyFrom(_external(tensor, file.tell(), len(content)))
            file.write(content)
    (directory / GRAPH_FILE).write_bytes(model.SerializeToString(deterministic=True))
    inputs = tuple(value.name for value in model.graph.input)
    return Graph(file=GRAPH_FILE, inputs=inputs, output=OUTPUT, layout=Layout.PADDED)


def _external(tensor: TensorProto, offset: int, length: int) -> TensorProto:
    """The tensor with a reference in place of its content (onnx.proto, TensorProto.external_data)."""
    reference = TensorProto(
        name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", WEIGHTS_FILE), ("offset", str(offset)), ("length", str(length))):
        reference.external_data.add(key=key, value=value)
    return reference
