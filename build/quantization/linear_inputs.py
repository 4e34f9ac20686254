"""Finds what the weight matrices of a graph are multiplied with, and where a factor per channel can get in."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto

from build.graph.index import constant_tensors

ELEMENTWISE = frozenset(
    [
        "Add",
        "Cast",
        "Div",
        "Erf",
        "Exp",
        "Gelu",
        "Mul",
        "Neg",
        "Pow",
        "Relu",
        "Sigmoid",
        "Softplus",
        "Sqrt",
        "Sub",
        "Tanh",
    ]
)
"""Ops that treat each channel by itself: what is behind them can be repeated by repeating what is before them."""


@dataclass(frozen=True)
class Norm:
    """The node that multiplies channels by ``scale`` and adds ``bias``: factors per channel are free there."""

    node: str
    scale: str
    bias: str | None


@dataclass(frozen=True)
class Producers:
    """The matrices whose products become an activation channel by channel, and the ``vectors`` that take part."""

    matrices: tuple[str, ...]
    vectors: tuple[str, ...]


@dataclass(frozen=True)
class LinearInput:
    """An activation, (…, ``width``), and the ``matrices``, (``width``, …), that it alone is multiplied by.

    ``norm``: what makes it, if nothing else reads it; ``producers``: where its channels can be repeated, if anywhere.
    """

    name: str
    matrices: tuple[str, ...]
    width: int
    norm: Norm | None
    producers: Producers | None


def is_matrix(tensor: TensorProto) -> bool:
    """Whether a product with the initializer can be done in integers."""
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2 and 0 not in tensor.dims


def find_linear_inputs(model: ModelProto) -> list[LinearInput]:
    """In the order of the graph. Activations that share a matrix with another one are left out."""
    graph = _Graph(model)
    found = []
    for name, products in graph.products_by_input().items():
        matrices = tuple(dict.fromkeys(node.input[1] for node in products))
        if all(graph.multiplies_alone(matrix, name) for matrix in matrices):
            width = graph.tensors[matrices[0]].dims[0]
            producers = graph.producers(name, width) if graph.have_sole_consumers(matrices) else None
            found.append(LinearInput(name, matrices, width, graph.norm(name, width), producers))
    return found


class _Graph:
    """A graph's nodes by what they make and by what they read."""

    def __init__(self, model: ModelProto) -> None:
        self.tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self.constants = constant_tensors(model)
        self.nodes = list(model.graph.node)
        self.outputs = {value.name for value in model.graph.output}
        self.producer = {name: node for node in self.nodes for name in node.output}
        self.consumers: defaultdict[str, list[NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(_names_read(node)):
                self.consumers[name].append(node)

    def products_by_input(self) -> dict[str, list[NodeProto]]:
        products: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            if node.op_type == "MatMul" and self._is_matrix(node.input[1]) and node.input[0] not in self.tensors:
                products.setdefault(node.input[0], []).append(node)
        return products

    def multiplies_alone(self, matrix: str, activation: str) -> bool:
        products = [node for node in self.consumers[matrix] if node.op_type == "MatMul"]
        return all(node.input[0] == activation and node.input[1] == matrix for node in products)

    def have_sole_consumers(self, values: Iterable[str]) -> bool:
        """Whether a single node reads each of them."""
        return all(len(self.consumers[value]) == 1 for value in values)

    def norm(self, name: str, width: int) -> Norm | None:
        """A LayerNormalization, or the product with a vector that an RMSNorm ends with."""
        node = self.producer.get(name)
        if node is None or name in self.outputs or not all(map(self._reads_only_channels, self.consumers[name])):
            return None
        if node.op_type == "LayerNormalization" and len(node.output) == 1:
            scale, *bias = node.input[1:]
            if all(self._is_vector(vector, width) for vector in (scale, *bias)):
                return Norm(name, scale, bias[0] if bias else None)
        if node.op_type == "Mul":
            scales = [vector for vector in node.input if self._is_vector(vector, width)]
            if len(scales) == 1:
                return Norm(name, scales[0], None)
        return None

    def producers(self, name: str, width: int) -> Producers | None:
        """Follow the activation back through elementwise ops to products; None where anything else is on the way."""
        matrices, vectors, chain = dict[str, None](), dict[str, None](), set[str]()
        ahead = [name]
        while ahead:
            value = ahead.pop()
            if value in chain or self._is_scalar(value):
                continue
            if self._is_vector(value, width):
                vectors[value] = None
                continue
            node = self.producer.get(value)
            if node is None or value in self.outputs or len(node.output) != 1:
                return None
            chain.add(value)
            if node.op_type == "MatMul" and self._is_matrix(node.input[1]) and self._columns(node.input[1]) == width:
                matrices[node.input[1]] = None
            elif node.op_type in ELEMENTWISE:
                ahead += node.input
            else:
                return None
        inside = all(self._stays_inside(value, name, chain) for value in chain)
        alone = self.have_sole_consumers((*matrices, *vectors))
        return Producers(tuple(matrices), tuple(vectors)) if matrices and inside and alone else None

    def _stays_inside(self, value: str, end: str, chain: set[str]) -> bool:
        if value == end:
            return all(map(self._is_product, self.consumers[value]))
        return all(node.op_type in ELEMENTWISE and set(node.output) <= chain for node in self.consumers[value])

    def _reads_only_channels(self, node: NodeProto) -> bool:
        return self._is_product(node) or node.op_type == "Shape"

    def _is_product(self, node: NodeProto) -> bool:
        return node.op_type == "MatMul" and self._is_matrix(node.input[1])

    def _is_matrix(self, name: str) -> bool:
        return name in self.tensors and is_matrix(self.tensors[name])

    def _columns(self, name: str) -> int:
        return int(self.tensors[name].dims[1])

    def _is_vector(self, name: str, width: int) -> bool:
        tensor = self.constants.get(name)
        return tensor is not None and tensor.data_type == TensorProto.FLOAT and list(tensor.dims) == [width]

    def _is_scalar(self, name: str) -> bool:
        tensor = self.constants.get(name)
        return tensor is not None and math.prod(tensor.dims) == 1


def _names_read(node: NodeProto) -> Iterator[str]:
    """By the node, and by those of its branches or its body."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _names_read(inner)
