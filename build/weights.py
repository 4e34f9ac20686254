"""Writes a graph with its weights beside it, aligned so that onnxruntime maps them from disk instead of copying."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper

from build.export import OUTPUT
from manifest import Graph, Layout

ALIGNMENT = 4096
"""Bytes; the page size of the targets. An offset that is not a multiple of it cannot be mapped."""

INLINE_BELOW = 1024
"""Bytes; smaller tensors stay in the graph's file."""


def write_graph(graph: Path, directory: Path, name: str) -> Graph:
    """Write ``<name>.onnx`` and ``<name>.onnx.data`` into ``directory``. The same graph gives the same bytes."""
    file, weights = f"{name}.onnx", f"{name}.onnx.data"
    model = onnx.load(graph)
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    with (directory / weights).open("wb") as data:
        for tensor in model.graph.initializer:
            content = numpy_helper.to_array(tensor).tobytes()
            if len(content) < INLINE_BELOW:
                continue
            data.write(bytes(-data.tell() % ALIGNMENT))
            tensor.CopyFrom(_external(tensor, weights, data.tell(), len(content)))
            data.write(content)
    (directory / file).write_bytes(model.SerializeToString(deterministic=True))
    inputs = tuple(value.name for value in model.graph.input)
    return Graph(file=file, weights=weights, inputs=inputs, output=OUTPUT, layout=Layout.PADDED)


def _external(tensor: TensorProto, location: str, offset: int, length: int) -> TensorProto:
    """The tensor with a reference in place of its content (onnx.proto, TensorProto.external_data)."""
    reference = TensorProto(
        name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        reference.external_data.add(key=key, value=value)
    return reference
