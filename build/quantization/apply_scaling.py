"""Applies channel scalings to a graph: as nodes before products, or within the norm that computes their input."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from build.graph.index import GraphIndex
from build.quantization.calibrated import ScaledInput
from build.quantization.linear_inputs import Norm

SCALED = "_scaled"


def scale_channels(model: ModelProto, directory: Path, scaled: Sequence[ScaledInput]) -> dict[str, NDArray[np.int64]]:
    """Change the graph, whose weights are in ``directory``, so that products read scaled activations.

    Of matrices only the dimensions are changed. Returns, for those whose products are split into more channels, how
    many columns each column becomes.
    """
    editor = _Editor(model, directory)
    column_splits: dict[str, NDArray[np.int64]] = {}
    for scaled_input in scaled:
        linear_input, scaling = scaled_input.linear_input, scaled_input.scaling
        if linear_input.norm is not None and scaled_input.folded:
            editor.fold(linear_input.norm, scaling.scales)
            continue
        editor.multiply(linear_input.name, linear_input.matrices, np.divide(np.float32(1), scaling.scales))
        if scaling.has_splits and (producers := linear_input.producers):
            for vector in producers.vectors:
                editor.split(vector, scaling.splits)
            for matrix in producers.matrices:
                column_splits[matrix] = scaling.splits
                editor.resize(matrix, 1, len(scaling.scales))
            for matrix in linear_input.matrices:
                editor.resize(matrix, 0, len(scaling.scales))
    return column_splits


class _Editor:
    def __init__(self, model: ModelProto, directory: Path) -> None:
        self._model, self._index = model, GraphIndex(model, directory)

    def multiply(self, activation: str, matrices: Collection[str], factors: NDArray[np.float32]) -> None:
        """Let products with ``matrices`` read the activation times ``factors``; other nodes read it unchanged."""
        self._add(f"{activation}{SCALED}_factors", factors)
        for node in self._model.graph.node:
            if node.op_type == "MatMul" and node.input[0] == activation and node.input[1] in matrices:
                node.input[0] = activation + SCALED
        product = helper.make_node(
            "Mul", [activation, f"{activation}{SCALED}_factors"], [activation + SCALED], activation + SCALED
        )
        self._model.graph.node.insert(self._index_after(activation), product)

    def fold(self, norm: Norm, scales: NDArray[np.float32]) -> None:
        """Divide the norm's scale and bias by the channels' scales."""
        node = self._model.graph.node[self._index_after(norm.node) - 1]
        for vector in filter(None, (norm.scale, norm.bias)):
            index = list(node.input).index(vector)
            node.input[index] = f"{norm.node}{SCALED}_{index}"
            self._add(node.input[index], np.divide(self._index.read(vector), scales))

    def split(self, vector: str, splits: NDArray[np.int64]) -> None:
        """Repeat each component of a constant as often as its channel is split."""
        values = np.repeat(self._index.read(vector), splits)
        self._index.constants[vector].CopyFrom(numpy_helper.from_array(values, vector))

    def resize(self, matrix: str, axis: int, size: int) -> None:
        self._index.initializers[matrix].dims[axis] = size

    def _add(self, name: str, values: NDArray[np.float32]) -> None:
        self._model.graph.initializer.append(numpy_helper.from_array(values, name))

    def _index_after(self, value: str) -> int:
        """Return the index after the node that computes ``value``; 0 for an input of the graph."""
        nodes: Sequence[NodeProto] = self._model.graph.node
        return next((index + 1 for index, node in enumerate(nodes) if value in node.output), 0)
