"""Matches the layers of an exported graph, node by node."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import NodeProto, helper

from build.graph.index import GraphIndex
from build.native.encoder import EncoderLayer, LayerNorm, Linear, NotNative
from build.native.equivalence import AttentionShape, activation_matching, attention_matches
from build.native.patterns import NativeFamily


class LayerMatcher:
    """What encoders of all kinds have in common. Every method raises ``NotNative`` where the graph differs."""

    def __init__(self, graph: GraphIndex, family: NativeFamily) -> None:
        self._graph, self._family = graph, family
        self._width: int | None = None

    @property
    def width(self) -> int:
        """The model's width, which the embeddings tell."""
        return self._width or 0

    def layers(self, state: str, shape: AttentionShape) -> tuple[tuple[EncoderLayer, ...], str]:
        """All layers, of which the first reads ``state``, and the value that the last one computes."""
        layers: list[EncoderLayer] = []
        first = state
        while self._graph.node(self._product_name(len(layers), self._family.query)) is not None:
            layer, state = self._layer(len(layers), state, first, shape)
            layers.append(layer)
        return tuple(layers), state

    def norm(self, module: str, value: str) -> LayerNorm:
        """The norm of a module, which reads ``value``."""
        node = self._node(f"/{module}/LayerNormalization")
        if node.input[0] != value:
            raise NotNative(f"{node.name} does not read what comes before it in this family")
        return self._norm(node)

    def product(self, name: str, inputs: int | None, outputs: int | None, bias: bool = True) -> tuple[str, Linear]:
        """Return the value that a product and its ``bias``, if it has one, compute, and their weights."""
        node = self._node(name)
        matrix = self._graph.weight(node.input[1], inputs, outputs)
        if matrix is None:
            raise NotNative(f"{node.name} has no weight matrix of the expected shape")
        if not bias:
            return node.output[0], Linear(node.input[0], matrix, None)
        consumers = self._graph.consumers(node.output[0])
        if len(consumers) == 1 and consumers[0].op_type == "Add":
            columns = self._graph.constants[matrix].dims[1]
            others = [value for value in consumers[0].input if value != node.output[0]]
            if len(others) == 1 and (vector := self._graph.weight(others[0], columns)):
                return consumers[0].output[0], Linear(node.input[0], matrix, vector)
        raise NotNative(f"{node.name} is not followed by a bias")

    def _layer(self, index: int, state: str, first_state: str, shape: AttentionShape) -> tuple[EncoderLayer, str]:
        """A layer that reads ``state``, and the value that it computes."""
        family, width = self._family, shape.width
        norm = self._layer_norm(index, family.attention_norm, state) if family.norm_first else None
        read = state if norm is None else norm.output
        modules = (family.query, family.key, family.value)
        qkv, (query, key, value) = zip(*(self._linear(index, module, width, width) for module in modules), strict=True)
        if any(linear.input != read for linear in (query, key, value)):
            raise NotNative(f"the attention of layer {index} does not read the previous layer's output")
        attended, attention_output = self._linear(index, family.attention_output, width, width)
        states = dict.fromkeys((first_state, state, read))
        if not attention_matches(self._graph, qkv, [*states], attention_output.input, shape):
            raise NotNative(f"the attention of layer {index} is not what the native kernels compute")
        if norm is not None:
            middle = self._residual(attended, state)
            attention_norm, output_norm = norm, self._layer_norm(index, family.output_norm, middle)
            read = output_norm.output
        else:
            attention_norm = self._layer_norm(index, family.attention_norm, attended, state)
            middle = read = attention_norm.output
        hidden, first = self._linear(index, family.feed_forward[0], width, None)
        output, second = self._linear(index, family.feed_forward[1], None, width)
        if first.input != read:
            raise NotNative(f"the feed-forward block of layer {index} does not read the output of its attention's norm")
        activation = activation_matching(self._graph, hidden, second.input)
        if activation is None:
            raise NotNative(f"the activation function of layer {index} is not one that the native kernels have")
        if norm is not None:
            result = self._residual(output, middle)
        else:
            output_norm = self._layer_norm(index, family.output_norm, output, middle)
            result = output_norm.output
        layer = EncoderLayer(
            query, key, value, attention_output, attention_norm, first, second, activation, output_norm
        )
        return layer, result

    def _product_name(self, layer: int, module: str) -> str:
        return f"/{self._family.layer}{layer}/{module}/MatMul"

    def _linear(self, layer: int, module: str, inputs: int | None, outputs: int | None) -> tuple[str, Linear]:
        return self.product(self._product_name(layer, module), inputs, outputs)

    def _layer_norm(self, layer: int, module: str, *read: str) -> LayerNorm:
        """The norm of a module, which reads one value or the sum of two."""
        node = self._node(f"/{self._family.layer}{layer}/{module}/LayerNormalization")
        added = self._graph.producer(node.input[0])
        if read != (node.input[0],) and (added is None or not _adds(added, read)):
            raise NotNative(f"{node.name} does not read the sum of a block's input and output")
        return self._norm(node)

    def _residual(self, left: str, right: str) -> str:
        """The sum of a block's input and output."""
        sums = [node.output[0] for node in self._graph.consumers(left) if _adds(node, (left, right))]
        if len(sums) != 1:
            raise NotNative(f"{left} is not added to a block's input")
        return sums[0]

    def _norm(self, node: NodeProto) -> LayerNorm:
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        vectors = [self._graph.weight(value, self._width) for value in node.input[1:]]
        if len(vectors) != 2 or attributes.get("axis", -1) != -1 or vectors[0] is None or vectors[1] is None:
            raise NotNative(f"{node.name} is not a LayerNorm over channels with a scale and a bias")
        return LayerNorm(node.output[0], vectors[0], vectors[1], attributes.get("epsilon", 1e-5))

    def _table(self, gather: NodeProto) -> str:
        """Return an embedding table's name; the first table decides the width that everything else must have."""
        table = self._graph.weight(gather.input[0], None, self._width)
        if table is None or any(entry.i != 0 for entry in gather.attribute if entry.name == "axis"):
            raise NotNative(f"{gather.name} does not read a table of the expected shape")
        self._width = self._graph.constants[table].dims[1]
        return table

    def _sum_of(self, values: Sequence[str]) -> str | None:
        """The sum of exactly these values, in order of their names; None: the graph does not compute it."""
        pending = list(values[:1])
        while pending:
            value = pending.pop()
            if sorted(self._addends(value)) == values:
                return value
            pending += [node.output[0] for node in self._graph.consumers(value) if node.op_type == "Add"]
        return None

    def _addends(self, value: str) -> list[str]:
        """Return the values whose sum a value is."""
        node = self._graph.producer(value)
        if node is None or node.op_type != "Add":
            return [value]
        return [addend for part in node.input for addend in self._addends(part)]

    def _node(self, name: str) -> NodeProto:
        node = self._graph.node(name)
        if node is None:
            raise NotNative(f"its graph has no node {name}")
        return node


def _adds(node: NodeProto, values: tuple[str, ...]) -> bool:
    return node.op_type == "Add" and sorted(node.input) == sorted(values)
