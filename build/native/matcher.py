"""Matches an exported graph against the native encoder, checking every part numerically."""

from __future__ import annotations

from onnx import NodeProto, helper

from build.graph.index import GraphIndex
from build.native.encoder import Embeddings, EncoderLayer, LayerNorm, Linear, NativeEncoder, NotNative
from build.native.equivalence import (
    AttentionShape,
    activation_matching,
    attention_matches,
    first_position,
    reads_first_type,
)
from build.native.patterns import NativeFamily
from build.native.relative_bias import BUCKETS

EMBEDDINGS = "embeddings"

TOKEN_TYPES = "token_type_ids"
"""The name of a graph's input of token types."""


def match_encoder(graph: GraphIndex, family: NativeFamily, heads: int, token_types: bool = False) -> NativeEncoder:
    """Return the encoder that the graph computes: embeddings and a chain of the family's layers, and nothing else.

    ``token_types``: whether tokens may have other types than 0.
    The chain is followed value by value from the token ids to the graph's output, so that no node is missed. The parts
    between weights are run and compared with what the kernels compute. Raises ``NotNative`` if anything differs.
    """
    matcher = _Matcher(graph, family, token_types)
    embeddings = matcher.embeddings()
    shape = AttentionShape(matcher.width, heads, matcher.relative_bias(heads))
    layers: list[EncoderLayer] = []
    state = embeddings.norm.output
    while graph.node(matcher.product_name(len(layers), family.query)) is not None:
        layers.append(matcher.layer(len(layers), state, shape))
        state = layers[-1].output_norm.output
    if not layers or graph.resolve_identity(graph.outputs[0]) != state:
        raise NotNative("its graph does not end after its last known layer")
    return NativeEncoder(embeddings, tuple(layers), heads, shape.relative_bias)


class _Matcher:
    def __init__(self, graph: GraphIndex, family: NativeFamily, token_types: bool) -> None:
        self._graph, self._family, self._token_types = graph, family, token_types
        self._width: int | None = None
        self._first_state = ""

    @property
    def width(self) -> int:
        """The model's width, which the embedding tables tell."""
        return self._width or 0

    def product_name(self, layer: int, module: str) -> str:
        return f"/{self._family.layer}{layer}/{module}/MatMul"

    def embeddings(self) -> Embeddings:
        node = self._node(f"/{EMBEDDINGS}/LayerNorm/LayerNormalization")
        gathers = {
            kind: self._graph.node(f"/{EMBEDDINGS}/{kind}_embeddings/Gather")
            for kind in ("word", "position", "token_type")
        }
        found = {kind: gather for kind, gather in gathers.items() if gather is not None}
        expected = sorted(gather.output[0] for gather in found.values())
        if not {"word", "position"} <= set(found) or sorted(self._addends(node.input[0])) != expected:
            raise NotNative("its embeddings are not the sum of those of a word, a position and a token type")
        tables = {kind: self._table(gather) for kind, gather in found.items()}
        vocabulary, self._first_state = self._graph.constants[tables["word"]].dims[0], node.output[0]
        if found["word"].input[1] != "input_ids":
            raise NotNative("its word embeddings are not looked up by token id")
        if "token_type" in found and not reads_first_type(self._graph, found["token_type"].input[1], vocabulary):
            raise NotNative("its tokens do not all have the type 0")
        if self._token_types and "token_type" in found and found["token_type"].input[1] != TOKEN_TYPES:
            raise NotNative("its token types are not looked up by its input of token types")
        return Embeddings(
            word=tables["word"],
            position=tables["position"],
            token_type=tables.get("token_type"),
            reads_types=self._token_types and "token_type" in found,
            first_position=first_position(self._graph, found["position"].input[1], vocabulary),
            norm=self._norm(node),
        )

    def relative_bias(self, heads: int) -> str | None:
        if self._family.relative_bias is None:
            return None
        node = self._node(f"/{self._family.relative_bias}/Gather")
        table = self._graph.weight(node.input[0], None, heads)
        if table is None or self._graph.constants[table].dims[0] < BUCKETS:
            raise NotNative(f"its relative attention bias is not a table of {BUCKETS} buckets")
        return table

    def layer(self, index: int, state: str, shape: AttentionShape) -> EncoderLayer:
        family, width = self._family, shape.width
        modules = (family.query, family.key, family.value)
        qkv, (query, key, value) = zip(*(self._linear(index, module, width, width) for module in modules), strict=True)
        if any(linear.input != state for linear in (query, key, value)):
            raise NotNative(f"the attention of layer {index} does not read the previous layer's output")
        attended, attention_output = self._linear(index, family.attention_output, width, width)
        states = dict.fromkeys((self._first_state, state))
        if not attention_matches(self._graph, qkv, [*states], attention_output.input, shape):
            raise NotNative(f"the attention of layer {index} is not what the native kernels compute")
        attention_norm = self._residual_norm(index, family.attention_norm, attended, state)
        hidden, first = self._linear(index, family.feed_forward[0], width, None)
        output, second = self._linear(index, family.feed_forward[1], None, width)
        if first.input != attention_norm.output:
            raise NotNative(f"the feed-forward block of layer {index} does not read the output of its attention's norm")
        activation = activation_matching(self._graph, hidden, second.input)
        if activation is None:
            raise NotNative(f"the activation function of layer {index} is not one that the native kernels have")
        output_norm = self._residual_norm(index, family.output_norm, output, attention_norm.output)
        return EncoderLayer(query, key, value, attention_output, attention_norm, first, second, activation, output_norm)

    def _linear(self, layer: int, module: str, inputs: int | None, outputs: int | None) -> tuple[str, Linear]:
        """Return the value that a product and its bias compute, and their weights."""
        node = self._node(self.product_name(layer, module))
        matrix = self._graph.weight(node.input[1], inputs, outputs)
        if matrix is None:
            raise NotNative(f"{node.name} has no weight matrix of the expected shape")
        consumers = self._graph.consumers(node.output[0])
        if len(consumers) == 1 and consumers[0].op_type == "Add":
            columns = self._graph.constants[matrix].dims[1]
            others = [value for value in consumers[0].input if value != node.output[0]]
            if len(others) == 1 and (bias := self._graph.weight(others[0], columns)):
                return consumers[0].output[0], Linear(node.input[0], matrix, bias)
        raise NotNative(f"{node.name} is not followed by a bias")

    def _residual_norm(self, layer: int, module: str, left: str, right: str) -> LayerNorm:
        node = self._node(f"/{self._family.layer}{layer}/{module}/LayerNormalization")
        added = self._graph.producer(node.input[0])
        if added is None or added.op_type != "Add" or set(added.input) != {left, right}:
            raise NotNative(f"{node.name} does not read the sum of a block's input and output")
        return self._norm(node)

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

    def _node(self, name: str) -> NodeProto:
        node = self._graph.node(name)
        if node is None:
            raise NotNative(f"its graph has no node {name}")
        return node

    def _addends(self, value: str) -> list[str]:
        """Return the values whose sum a value is."""
        node = self._graph.producer(value)
        if node is None or node.op_type != "Add":
            return [value]
        return [addend for part in node.input for addend in self._addends(part)]
