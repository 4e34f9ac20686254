"""Indexes an ONNX graph: which node produces a value, which ones consume it, what is constant, what a part computes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from build.graph.external_data import tensor_bytes, tensor_values
from build.graph.session import run_model

MAX_SUBGRAPH_WEIGHTS = 1 << 22
"""A sub-graph with more bytes of weights than this is not run on its own."""


class GraphIndex:
    """A graph's nodes and constants by name, as they are when the index is made; ``directory`` holds its weights."""

    def __init__(self, model: ModelProto, directory: Path) -> None:
        self._model, self._directory = model, directory
        self.nodes = list(model.graph.node)
        self.outputs = [value.name for value in model.graph.output]
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.constants = _held_by_nodes(self.nodes) | self.initializers
        self._by_name = {node.name: node for node in self.nodes}
        self._producers = {name: node for node in self.nodes for name in node.output}
        self._consumers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(names_read(node)):
                self._consumers.setdefault(name, []).append(node)

    def node(self, name: str) -> NodeProto | None:
        return self._by_name.get(name)

    def producer(self, value: str) -> NodeProto | None:
        """Return the node that computes a value; None for inputs of the graph and initializers."""
        return self._producers.get(value)

    def consumers(self, value: str) -> list[NodeProto]:
        """List the nodes that read a value, each once, including those whose branches or body read it."""
        return self._consumers.get(value, [])

    def resolve_identity(self, value: str) -> str:
        """Return what a value is a copy of, or the value itself: the export keeps equal weights once."""
        while (node := self.producer(value)) is not None and node.op_type == "Identity":
            value = node.input[0]
        return value

    def weight(self, value: str, *shape: int | None) -> str | None:
        """Return the name of the fp32 constant that is ``value``, if it has this shape; None matches any size."""
        name = self.resolve_identity(value)
        tensor = self.constants.get(name)
        if tensor is None or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != len(shape):
            return None
        same = all(wanted in (None, size) and size for wanted, size in zip(shape, tensor.dims, strict=True))
        return name if same else None

    def read(self, name: str) -> NDArray[np.float32]:
        """Return the values of an fp32 constant, mapped from disk where they are external."""
        return tensor_values(self.constants[name], self._directory)

    def run(self, given: Mapping[str, NDArray[Any]], wanted: str) -> NDArray[Any] | None:
        """Compute a value from others; None where it depends on more than these and constants, or cannot be run."""
        if wanted in given:
            return given[wanted]
        nodes = ancestors(self.nodes, [wanted], given)
        computed = {name for node in nodes for name in node.output}
        read = dict.fromkeys(name for node in nodes for name in node.input if name and name not in computed)
        weights = [self.constants[name] for name in read if name in self.constants and name not in given]
        if any(name not in given and name not in self.constants for name in read):
            return None
        if sum(tensor_bytes(tensor, self._directory).nbytes for tensor in weights) > MAX_SUBGRAPH_WEIGHTS:
            return None
        inputs = {name: values for name, values in given.items() if name in read}
        return run_model(self._subgraph(nodes, inputs, weights, wanted), inputs, wanted)

    def _subgraph(
        self,
        nodes: Sequence[NodeProto],
        inputs: Mapping[str, NDArray[Any]],
        weights: Sequence[TensorProto],
        wanted: str,
    ) -> ModelProto:
        kinds = {name: helper.np_dtype_to_tensor_dtype(values.dtype) for name, values in inputs.items()}
        graph = helper.make_graph(
            nodes,
            "subgraph",
            [helper.make_tensor_value_info(name, kinds[name], values.shape) for name, values in inputs.items()],
            [helper.make_empty_tensor_value_info(wanted)],
            [self._inline(tensor) for tensor in weights],
        )
        return helper.make_model(graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version)

    def _inline(self, tensor: TensorProto) -> TensorProto:
        if not uses_external_data(tensor):
            return tensor
        return numpy_helper.from_array(tensor_values(tensor, self._directory), tensor.name)


def names_read(node: NodeProto) -> Iterator[str]:
    """Yield what a node reads: its inputs, and whatever the nodes of its branches or its body read."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from names_read(inner)


def ancestors(nodes: Sequence[NodeProto], values: Iterable[str], given: Collection[str] = ()) -> list[NodeProto]:
    """List the nodes, in order, that ``values`` depend on, without those that only ``given`` values depend on."""
    needed, found = set(values), []
    for node in reversed(nodes):
        if needed.intersection(node.output).difference(given):
            found.append(node)
            needed.update(names_read(node))
    return found[::-1]


def cut_at(graph: GraphProto, values: Sequence[str], given: Collection[str] = ()) -> None:
    """Make ``values`` the outputs of a graph, and remove the nodes, weights and inputs that none of them needs.

    Those of the values ``given`` that are needed become inputs. All are in fp32.
    """
    nodes = ancestors(graph.node, values, given)
    needed = {name for node in nodes for name in names_read(node)}.union(values)
    _replace(graph.node, nodes)
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed])
    _replace(graph.input, [value for value in graph.input if value.name in needed])
    graph.input.extend(_fp32_value(name) for name in given if name in needed)
    _replace(graph.output, [_fp32_value(name) for name in values])


def _fp32_value(name: str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def _held_by_nodes(nodes: Iterable[NodeProto]) -> dict[str, TensorProto]:
    """Return the tensors of Constant nodes: the export gives a LayerNorm without bias one of zeros."""
    held = [(node.output[0], node.attribute) for node in nodes if node.op_type == "Constant"]
    return {name: entry.t for name, attributes in held for entry in attributes if entry.name == "value"}


def _replace(field: Any, content: Sequence[Any]) -> None:
    del field[:]
    field.extend(content)
