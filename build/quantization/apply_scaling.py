"""Puts chosen factors into a graph: in front of products, or into the norm that makes their input."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from build.graph.external_data import tensor_bytes
from build.graph.index import constant_tensors
from build.quantization.calibrated import ScaledInput
from build.quantization.linear_inputs import Norm

SCALED = "_scaled"


def scale_channels(model: ModelProto, directory: Path, scaled: Sequence[ScaledInput]) -> dict[str, NDArray[np.int64]]:
    """Change the graph so that products read scaled activations; ``directory`` holds its weights.

    Matrices are not changed, but their dimensions are. Returns, for those whose products become repeated channels, how
    often each column is to be repeated.
    """
    graph = _Editor(model, directory)
    columns: dict[str, NDArray[np.int64]] = {}
    for one in scaled:
        norm, scaling = one.linear_input.norm, one.scaling
        if norm is not None and one.folded:
            graph.fold(norm, scaling.scales)
            continue
        graph.multiply(one.linear_input.name, one.linear_input.matrices, 1 / scaling.scales)
        if scaling.has_splits and (producers := one.linear_input.producers):
            for vector in producers.vectors:
                graph.replace(vector, lambda values, splits=scaling.splits: np.repeat(values, splits))
            for matrix in producers.matrices:
                columns[matrix] = scaling.splits
                graph.tensors[matrix].dims[1] = len(scaling.scales)
            for matrix in one.linear_input.matrices:
                graph.tensors[matrix].dims[0] = len(scaling.scales)
    return columns


class _Editor:
    def __init__(self, model: ModelProto, directory: Path) -> None:
        self._model, self._directory = model, directory
        self.tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._constants = constant_tensors(model)

    def multiply(self, activation: str, matrices: Collection[str], factors: NDArray[np.float32]) -> None:
        """Let products by ``matrices`` read the activation times ``factors``; all else reads it as it was."""
        self._add(f"{activation}{SCALED}_factors", factors)
        for node in self._model.graph.node:
            if node.op_type == "MatMul" and node.input[0] == activation and node.input[1] in matrices:
                node.input[0] = activation + SCALED
        product = helper.make_node(
            "Mul", [activation, f"{activation}{SCALED}_factors"], [activation + SCALED], activation + SCALED
        )
        self._model.graph.node.insert(self._place_after(activation), product)

    def fold(self, norm: Norm, scales: NDArray[np.float32]) -> None:
        """Divide what the norm multiplies by and what it adds."""
        node = self._model.graph.node[self._place_after(norm.node) - 1]
        for vector in filter(None, (norm.scale, norm.bias)):
            place = list(node.input).index(vector)
            node.input[place] = f"{norm.node}{SCALED}_{place}"
            self._add(node.input[place], self._read(vector) / scales)

    def replace(self, vector: str, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        self._constants[vector].CopyFrom(numpy_helper.from_array(change(self._read(vector)), vector))

    def _read(self, vector: str) -> NDArray[np.float32]:
        return tensor_bytes(self._constants[vector], self._directory).view(np.float32)

    def _add(self, name: str, values: NDArray[np.float32]) -> None:
        self._model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))

    def _place_after(self, value: str) -> int:
        """Index behind the node that makes ``value``; 0 for an input of the graph."""
        nodes: Sequence[NodeProto] = self._model.graph.node
        return next((place + 1 for place, node in enumerate(nodes) if value in node.output), 0)
