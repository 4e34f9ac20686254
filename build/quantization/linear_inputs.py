"""Finds the activation that each weight matrix multiplies, and where its channels can be scaled or split."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from onnx import NodeProto, TensorProto

from build.graph.index import GraphIndex

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
"""These ops compute each channel on its own: splitting the channels of their inputs splits those of their output."""


@dataclass(frozen=True)
class Norm:
    """The node that multiplies channels by ``scale`` and adds ``bias``: it can absorb channel scales at no cost."""

    node: str
    scale: str
    bias: str | None


@dataclass(frozen=True)
class Producers:
    """What computes an activation channel by channel: the products with ``matrices``, and ops that read ``vectors``."""

    matrices: tuple[str, ...]
    vectors: tuple[str, ...]


@dataclass(frozen=True)
class LinearInput:
    """An activation, (…, width), and the weight matrices that it multiplies."""

    name: str

    matrices: tuple[str, ...]
    """Matrices (width, …) that no other activation multiplies."""

    width: int

    norm: Norm | None
    """What computes the activation, if nothing but products reads it."""

    producers: Producers | None
    """Where the activation's channels can be split; None: nowhere."""


def is_matrix(tensor: TensorProto) -> bool:
    """Return whether a product with an initializer can be computed in integers."""
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2 and 0 not in tensor.dims


def find_linear_inputs(graph: GraphIndex) -> list[LinearInput]:
    """List the activations that weight matrices multiply, in the graph's order.

    Activations that share a matrix with another one are left out.
    """
    finder = _Finder(graph)
    found = []
    for name, products in finder.products_by_input().items():
        matrices = tuple(dict.fromkeys(node.input[1] for node in products))
        if all(finder.multiplies_only(matrix, name) for matrix in matrices):
            width = graph.initializers[matrices[0]].dims[0]
            producers = finder.producers(name, width) if finder.have_sole_consumers(matrices) else None
            found.append(LinearInput(name, matrices, width, finder.norm(name, width), producers))
    return found


class _Finder:
    def __init__(self, graph: GraphIndex) -> None:
        self._graph = graph

    def products_by_input(self) -> dict[str, list[NodeProto]]:
        products: dict[str, list[NodeProto]] = {}
        for node in self._graph.nodes:
            if self._is_product(node) and node.input[0] not in self._graph.initializers:
                products.setdefault(node.input[0], []).append(node)
        return products

    def multiplies_only(self, matrix: str, activation: str) -> bool:
        """Return whether every product with the matrix is one of this activation."""
        products = [node for node in self._graph.consumers(matrix) if node.op_type == "MatMul"]
        return all(node.input[0] == activation and node.input[1] == matrix for node in products)

    def have_sole_consumers(self, values: Iterable[str]) -> bool:
        """Return whether each of the values is read by a single node."""
        return all(len(self._graph.consumers(value)) == 1 for value in values)

    def norm(self, name: str, width: int) -> Norm | None:
        """Find a LayerNormalization, or the product with a vector that an RMSNorm ends with."""
        node = self._graph.producer(name)
        if node is None or name in self._graph.outputs:
            return None
        if not all(map(self._reads_only_channels, self._graph.consumers(name))):
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
        """Follow the activation back through elementwise ops to products; None where another op is on the way."""
        matrices, vectors, chain = dict[str, None](), dict[str, None](), set[str]()
        pending = [name]
        while pending:
            value = pending.pop()
            if value in chain or self._is_scalar(value):
                continue
            if self._is_vector(value, width):
                vectors[value] = None
                continue
            node = self._graph.producer(value)
            if node is None or value in self._graph.outputs or len(node.output) != 1:
                return None
            chain.add(value)
            if self._is_product(node) and self._graph.initializers[node.input[1]].dims[1] == width:
                matrices[node.input[1]] = None
            elif node.op_type in ELEMENTWISE:
                pending += node.input
            else:
                return None
        closed = all(self._stays_inside(value, name, chain) for value in chain)
        if matrices and closed and self.have_sole_consumers((*matrices, *vectors)):
            return Producers(tuple(matrices), tuple(vectors))
        return None

    def _stays_inside(self, value: str, end: str, chain: set[str]) -> bool:
        """Return whether nothing but the chain reads a value of it, and nothing but products reads its end."""
        if value == end:
            return all(map(self._is_product, self._graph.consumers(value)))
        consumers = self._graph.consumers(value)
        return all(node.op_type in ELEMENTWISE and set(node.output) <= chain for node in consumers)

    def _reads_only_channels(self, node: NodeProto) -> bool:
        return self._is_product(node) or node.op_type == "Shape"

    def _is_product(self, node: NodeProto) -> bool:
        if node.op_type != "MatMul":
            return False
        tensor = self._graph.initializers.get(node.input[1])
        return tensor is not None and is_matrix(tensor)

    def _is_vector(self, name: str, width: int) -> bool:
        tensor = self._graph.constants.get(name)
        return tensor is not None and tensor.data_type == TensorProto.FLOAT and list(tensor.dims) == [width]

    def _is_scalar(self, name: str) -> bool:
        tensor = self._graph.constants.get(name)
        return tensor is not None and math.prod(tensor.dims) == 1
