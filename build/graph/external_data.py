"""Owns the layout of weights beside a graph: read tensor by tensor, written on page boundaries, never held in whole."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from build.host.malloc import release_free_memory
from manifest import NATIVE_DOMAIN, Graph, Layout, OpSet

ALIGNMENT = 4096
"""Bytes; the page size of the targets. An offset that is not a multiple of it cannot be mapped."""

EXTERNALIZED = "externalized"

INLINE_BELOW = 1024
"""Bytes; smaller tensors stay in the graph's file."""


def load_graph(graph: Path) -> ModelProto:
    """The graph without the initializers that lie outside its file: ``tensor_bytes`` reads them, one by one."""
    model = onnx.load(graph, load_external_data=False)
    # NOTE: the export lays constants of nodes outside, too; they are small.
    for attribute in (attribute for node in model.graph.node for attribute in node.attribute):
        if uses_external_data(attribute.t):
            data = tensor_bytes(attribute.t, graph.parent)
            attribute.t.data_location = TensorProto.DEFAULT
            attribute.t.ClearField("external_data")
            attribute.t.raw_data = data.tobytes()
    return model


def tensor_bytes(tensor: TensorProto, directory: Path) -> NDArray[np.uint8]:
    """The tensor's bytes, flat; mapped from the file in ``directory`` where they lie outside the graph's."""
    if not uses_external_data(tensor):
        return np.frombuffer(numpy_helper.to_array(tensor).tobytes(), np.uint8)
    where = ExternalDataInfo(tensor)
    if not where.length:
        return np.empty(0, np.uint8)
    return np.memmap(directory / where.location, np.uint8, "r", offset=where.offset or 0, shape=(where.length,))


class ExternalDataWriter:
    """A new file of tensors beside a graph, each aligned so that onnxruntime maps it from disk instead of copying."""

    def __init__(self, path: Path) -> None:
        self._name, self._file = path.name, path.open("wb")

    def __enter__(self) -> ExternalDataWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, tensor: TensorProto, data: NDArray[np.uint8]) -> TensorProto:
        """The tensor with ``data`` as its content: in the file, or in the tensor itself where it is small."""
        if data.nbytes < INLINE_BELOW and not uses_external_data(tensor):
            return tensor
        stored = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        if data.nbytes < INLINE_BELOW:
            stored.raw_data = data.tobytes()
            return stored
        self._file.write(bytes(-self._file.tell() % ALIGNMENT))
        stored.data_location = TensorProto.EXTERNAL  # onnx.proto, TensorProto.external_data
        for key, value in (("location", self._name), ("offset", self._file.tell()), ("length", data.nbytes)):
            stored.external_data.add(key=key, value=str(value))
        self._file.write(data.data)
        return stored


def externalize_weights(graph: Path, directory: Path) -> Path:
    """The graph with its weights in a file beside it, from which later stages map them instead of holding them.

    ``graph`` itself where they are, else a graph in ``directory`` that takes its place: it is removed.
    """
    model = load_graph(graph)
    if any(uses_external_data(tensor) for tensor in model.graph.initializer):
        return graph
    graph.unlink()  # PERF: it is in memory, and the disk need not hold it twice.
    written = _write(model, graph.parent, directory, EXTERNALIZED)
    release_free_memory()
    return directory / written.file


def write_graph(graph: Path, directory: Path, name: str) -> Graph:
    """Write ``<name>.onnx`` and ``<name>.onnx.data`` into ``directory``. The same graph gives the same bytes."""
    return _write(load_graph(graph), graph.parent, directory, name)


def _write(model: ModelProto, source: Path, directory: Path, name: str) -> Graph:
    """``source`` holds the weights that lie outside the model."""
    file, data = f"{name}.onnx", f"{name}.onnx.data"
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    with ExternalDataWriter(directory / data) as weights:
        for tensor in model.graph.initializer:
            tensor.CopyFrom(weights.add(tensor, tensor_bytes(tensor, source)))
    (directory / file).write_bytes(model.SerializeToString(deterministic=True))
    ops = next((OpSet(entry.domain, entry.version) for entry in kept if entry.domain == NATIVE_DOMAIN), None)
    return Graph(
        file=file,
        weights=data,
        inputs=tuple(value.name for value in model.graph.input),
        output=model.graph.output[0].name,
        layout=Layout.PADDED if ops is None else Layout.PACKED,
        ops=ops,
    )
