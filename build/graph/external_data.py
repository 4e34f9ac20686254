"""Reads and writes graphs whose weights are in a file beside them: tensor by tensor, never all at once."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from build.host.malloc import release_free_memory
from manifest import NATIVE_DOMAIN, Graph, Layout, OpSet

ALIGNMENT = 4096
"""Tensors begin at multiples of this many bytes, the targets' page size: at another offset they cannot be mapped."""

INLINE_BELOW = 1024
"""Tensors of fewer bytes than this stay in the graph's file."""

EXTERNALIZED = "externalized"
"""``externalize_weights`` gives the graph this name."""


def load_graph(graph: Path) -> ModelProto:
    """Load a graph without its external weights, which ``tensor_bytes`` and ``tensor_values`` read one by one."""
    model = onnx.load(graph, load_external_data=False)
    # NOTE: the export makes the values of Constant nodes external as well; they are small.
    for attribute in (attribute for node in model.graph.node for attribute in node.attribute):
        if uses_external_data(attribute.t):
            data = tensor_bytes(attribute.t, graph.parent)
            attribute.t.data_location = TensorProto.DEFAULT
            attribute.t.ClearField("external_data")
            attribute.t.raw_data = data.tobytes()
    return model


def tensor_bytes(tensor: TensorProto, directory: Path) -> NDArray[np.uint8]:
    """Return a tensor's bytes, flat; external ones are mapped from the file in ``directory``."""
    if not uses_external_data(tensor):
        return np.frombuffer(numpy_helper.to_array(tensor).tobytes(), np.uint8)
    location = {entry.key: entry.value for entry in tensor.external_data}  # onnx.proto, TensorProto.external_data
    length = int(location.get("length", 0))
    if not length:
        return np.empty(0, np.uint8)
    offset = int(location.get("offset", 0))
    return np.memmap(directory / location["location"], np.uint8, "r", offset=offset, shape=(length,))


def tensor_values(tensor: TensorProto, directory: Path) -> NDArray[Any]:
    """Return a tensor's values in its own type and shape, as ``tensor_bytes`` reads them."""
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return tensor_bytes(tensor, directory).view(dtype).reshape(tuple(tensor.dims))


class ExternalDataWriter:
    """Writes tensors to a new file beside a graph, aligned so that onnxruntime maps them instead of copying."""

    def __init__(self, path: Path) -> None:
        self._name, self._file = path.name, path.open("wb")

    def __enter__(self) -> ExternalDataWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, tensor: TensorProto, data: NDArray[np.uint8]) -> TensorProto:
        """Return the tensor with ``data`` as its content: in the file, or in the tensor itself where it is small."""
        if data.nbytes < INLINE_BELOW and not uses_external_data(tensor):
            return tensor
        stored = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        if data.nbytes < INLINE_BELOW:
            stored.raw_data = data.tobytes()
            return stored
        self._file.write(bytes(-self._file.tell() % ALIGNMENT))
        stored.data_location = TensorProto.EXTERNAL
        for key, value in (("location", self._name), ("offset", self._file.tell()), ("length", data.nbytes)):
            stored.external_data.add(key=key, value=str(value))
        self._file.write(data.data)
        return stored


def externalize_weights(graph: Path, directory: Path) -> Path:
    """Return the path of the graph with its weights in a file beside it, so that they can be mapped.

    This is ``graph`` itself if its weights are external already. Otherwise it is a new graph in ``directory``, and
    ``graph`` is removed.
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
    """Write the model, whose external weights are in ``source``."""
    file, data = f"{name}.onnx", f"{name}.onnx.data"
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    with ExternalDataWriter(directory / data) as writer:
        for tensor in model.graph.initializer:
            tensor.CopyFrom(writer.add(tensor, tensor_bytes(tensor, source)))
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
