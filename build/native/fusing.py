"""Replaces the nodes of a text encoder by one of the op that computes all of them (docs/kernels.md, "Ops")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import GraphProto, NodeProto, TensorProto, helper

from build.native.encoder import NATIVE_OPS
from build.native.graph_writer import ABSENT, ROWS

EMPTY = "empty"
"""The initializer that stands for an input of a layer that is left out: onnxruntime wants all of them to be there."""

POOLED = "pooled"
"""The input that says which tokens of a text its vector is the mean of. Without it, tokens have their embeddings."""

POOLED_FIELDS = 3
"""Of a text: its first token, the one after the last, and whether the mean is normalized."""

LINEAR, FEED_FORWARD = 12, 17
"""How many inputs these ops have."""

LAYER = ("Linear", "Attention", "Linear", "FeedForward")
LAYER_OF_SOME_ROWS = ("Linear", "Gather", "Linear", "Attention", "Linear", "FeedForward")

Attributes = dict[str, Any]


def fused(graph: GraphProto) -> GraphProto:
    """Return the graph with one node, or as it is if it is anything but an embedding and layers that share attributes.

    Both compute the same bits.
    """
    embedding, *others = graph.node
    layers = list(_layers(others)) if embedding.op_type == "Embedding" else []
    if sum(len(layer.nodes) for layer in layers) != len(others) or not _are_connected(embedding, layers, graph):
        return graph
    attributes = _shared([embedding, *others])
    if attributes is None:
        return graph
    rows = ROWS if layers[-1].query is not None else ABSENT
    inputs = [*_padded(embedding, 9), _padded(layers[0].attention, 3)[2], rows, POOLED]
    inputs += [name or EMPTY for layer in layers for name in layer.inputs()]
    name = graph.output[0].name
    node = helper.make_node("Encoder", inputs, [name], "encoder", domain=NATIVE_OPS.domain, **attributes)
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["vectors", "width"])
    pooled = helper.make_tensor_value_info(POOLED, TensorProto.INT64, ["pooled", POOLED_FIELDS])
    constants = [
        helper.make_tensor(EMPTY, TensorProto.FLOAT, [0], []),
        # NOTE: an input that has an initializer need not be fed.
        helper.make_tensor(POOLED, TensorProto.INT64, [0, POOLED_FIELDS], []),
    ]
    return helper.make_graph([node], graph.name, [*graph.input, pooled], [output], [*graph.initializer, *constants])


@dataclass(frozen=True)
class _Layer:
    nodes: tuple[NodeProto, ...]

    @property
    def joined(self) -> NodeProto:
        return self.nodes[0]

    @property
    def query(self) -> NodeProto | None:
        return self.nodes[2] if len(self.nodes) == len(LAYER_OF_SOME_ROWS) else None

    @property
    def attention(self) -> NodeProto:
        return self.nodes[-3]

    def inputs(self) -> list[str]:
        """Its weights, in the order of the fused op."""
        query = [ABSENT] * LINEAR if self.query is None else _padded(self.query, LINEAR)
        joined, output = _padded(self.joined, LINEAR), _padded(self.nodes[-2], LINEAR)
        weights = [*_weight(joined), *_before(joined), *_weight(query), *_before(query)]
        return [*weights, *_weight(output), *_after(output), *_padded(self.nodes[-1], FEED_FORWARD)[1:]]

    def reads(self, state: str) -> bool:
        """Whether it consists of what the fused op computes of ``state``."""
        *_, attention, output, feed_forward = self.nodes
        joined, projected = _padded(self.joined, LINEAR), _padded(output, LINEAR)
        bare = [*_after(joined), *_before(projected), joined[7]]
        attended, residual = [self.joined.output[0]], state
        if self.query is not None:
            _, gather, query, *_ = self.nodes
            given, residual = _padded(query, LINEAR), gather.output[0]
            bare += [*_after(given), given[7]]
            if [*gather.input] != [state, ROWS] or given[0] != residual:
                return False
            attended += [query.output[0], ROWS]
        read = _padded(attention, 5)
        return (
            joined[0] == state
            and [name for name in (read[0], *read[3:]) if name] == attended
            and projected[0] == attention.output[0]
            and projected[7] == residual
            and feed_forward.input[0] == output.output[0]
            and not any(bare)
            and not any(_is_activated(node) for node in self.nodes[:-1])
        )


def _layers(nodes: Sequence[NodeProto]) -> Iterator[_Layer]:
    """The layers that the nodes begin with; one of some rows is the last."""
    while nodes:
        ops = tuple(node.op_type for node in nodes)
        length = len(LAYER) if ops[: len(LAYER)] == LAYER else len(ops)
        if length != len(LAYER) and ops != LAYER_OF_SOME_ROWS:
            return
        yield _Layer(tuple(nodes[:length]))
        nodes = nodes[length:]


def _are_connected(embedding: NodeProto, layers: Sequence[_Layer], graph: GraphProto) -> bool:
    state = embedding.output[0]
    for layer in layers:
        if not layer.reads(state) or _padded(layer.attention, 3)[1:3] != _padded(layers[0].attention, 3)[1:3]:
            return False
        state = layer.nodes[-1].output[0]
    return bool(layers) and [state] == [output.name for output in graph.output]


def _shared(nodes: Sequence[NodeProto]) -> Attributes | None:
    """The attributes of all nodes, or None if two of them differ."""
    found: Attributes = {}
    for node in nodes:
        if node.domain == NATIVE_OPS.domain:
            for attribute in node.attribute:
                value = helper.get_attribute_value(attribute)
                if found.setdefault(attribute.name, value) != value:
                    return None
    return found


def _is_activated(node: NodeProto) -> bool:
    return any(attribute.name == "activation" for attribute in node.attribute)


def _padded(node: NodeProto, inputs: int) -> list[str]:
    return [*node.input, *[ABSENT] * (inputs - len(node.input))]


def _weight(linear: list[str]) -> list[str]:
    return linear[1:7]


def _after(linear: list[str]) -> list[str]:
    return linear[8:10]


def _before(linear: list[str]) -> list[str]:
    return linear[10:12]
