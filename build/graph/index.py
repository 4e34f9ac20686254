"""Cuts a part out of an exported graph and runs it by itself, so that what it computes can be compared."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # NOTE: else the wheel writes an id and a database below $HOME.
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from build.graph.external_data import tensor_bytes

LARGEST_WEIGHT = 1 << 20
"""Bytes of a part's own weights: what is larger is no part that can be run on its own."""


class GraphIndex:
    """A graph's nodes by name and by what they make; ``directory`` holds its weights."""

    def __init__(self, model: ModelProto, directory: Path) -> None:
        self._model, self._directory = model, directory
        self.constants = constant_tensors(model)
        self.outputs = [value.name for value in model.graph.output]
        self._named = {node.name: node for node in model.graph.node}
        self._producers = {name: node for node in model.graph.node for name in node.output}
        self._consumers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)

    def node(self, name: str) -> NodeProto | None:
        return self._named.get(name)

    def producer(self, value: str) -> NodeProto | None:
        return self._producers.get(value)

    def consumers(self, value: str) -> list[NodeProto]:
        return self._consumers.get(value, [])

    def resolve_identity(self, value: str) -> str:
        """The value itself, or what it is a copy of: the export keeps equal weights once."""
        while (node := self._producers.get(value)) is not None and node.op_type == "Identity":
            value = node.input[0]
        return value

    def weight(self, value: str, *shape: int | None) -> str | None:
        """The initializer or constant in fp32 behind ``value``, if its shape is this one; None stands for any size."""
        name = self.resolve_identity(value)
        tensor = self.constants.get(name)
        if tensor is None or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != len(shape):
            return None
        same = all(wanted in (None, size) and size for wanted, size in zip(shape, tensor.dims, strict=True))
        return name if same else None

    def read(self, name: str) -> NDArray[np.float32]:
        """A weight's values, mapped from disk where they lie there."""
        tensor = self.constants[name]
        return tensor_bytes(tensor, self._directory).view(np.float32).reshape(tensor.dims)

    def subgraph(self, given: Sequence[str], wanted: str) -> list[NodeProto]:
        """The nodes, in order, that make ``wanted`` of the values ``given`` and of nothing but weights beside them."""
        needed, chosen = {wanted}, []
        for node in reversed(self._model.graph.node):
            if needed & set(node.output) - set(given):
                chosen.append(node)
                needed |= set(node.input)
        return chosen[::-1]

    def run(self, given: Mapping[str, NDArray[Any]], wanted: str) -> NDArray[Any] | None:
        """What the part between computes; None where it reads something else, or cannot be run."""
        if wanted in given:
            return given[wanted]
        nodes = self.subgraph(list(given), wanted)
        made = Counter(name for node in nodes for name in node.output)
        read = dict.fromkeys(name for node in nodes for name in node.input if name and name not in made)
        weights = [self.constants[name] for name in read if name in self.constants and name not in given]
        if any(name not in given and name not in self.constants for name in read):
            return None
        if sum(tensor_bytes(tensor, self._directory).nbytes for tensor in weights) > LARGEST_WEIGHT:
            return None
        part = helper.make_graph(
            nodes,
            "part",
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
                for name, value in given.items()
                if name in read
            ],
            [helper.make_empty_tensor_value_info(wanted)],
            [self._inside(tensor) for tensor in weights],
        )
        model = helper.make_model(part, opset_imports=self._model.opset_import, ir_version=self._model.ir_version)
        return _run_model(model, {name: value for name, value in given.items() if name in read}, wanted)

    def _inside(self, tensor: TensorProto) -> TensorProto:
        if tensor.data_location != TensorProto.EXTERNAL:
            return tensor
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        values = tensor_bytes(tensor, self._directory).view(dtype).reshape(tensor.dims)
        return numpy_helper.from_array(values, tensor.name)


def constant_tensors(model: ModelProto) -> dict[str, TensorProto]:
    """Initializers, and what Constant nodes hold: the export gives a LayerNorm without bias one of zeros."""
    constants = [(node.output[0], node.attribute) for node in model.graph.node if node.op_type == "Constant"]
    held = {name: entry.t for name, attributes in constants for entry in attributes if entry.name == "value"}
    return held | {tensor.name: tensor for tensor in model.graph.initializer}


def _run_model(model: ModelProto, given: dict[str, NDArray[Any]], wanted: str) -> NDArray[Any] | None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        result: NDArray[Any] = session.run([wanted], given)[0]
    except Exception:  # NOTE: onnxruntime has an exception for each status, and what cannot be run is no known part.
        return None
    return result
