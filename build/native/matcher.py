"""Reads an exported graph as an encoder of the native kernels, or says why it is none: every part is proved."""

from __future__ import annotations

from onnx import NodeProto, helper

from build.graph.index import GraphIndex
from build.native.encoder import Embeddings, Layer, LayerNorm, Linear, NativeEncoder, NotNative
from build.native.equivalence import AttentionShape, attention_is_plain, first_position, function_of, reads_first_type
from build.native.patterns import NativeFamily
from build.native.relative_bias import BUCKETS

EMBEDDINGS = "embeddings"


def read_encoder(graph: GraphIndex, family: NativeFamily, heads: int) -> NativeEncoder:
    """Raises ``NotNative`` for a graph that is not exactly embeddings and layers of the family, in a chain.

    The chain is followed value by value from the token ids to the graph's output, so that nothing that takes part is
    overlooked; what lies between weights is run and compared with what the kernels compute.
    """
    reader = _Reader(graph, family)
    embeddings = reader.embeddings()
    shape = AttentionShape(reader.width, heads, reader.relative_bias(heads))
    layers: list[Layer] = []
    state = embeddings.norm.output
    while graph.node(reader.product_name(len(layers), family.query)) is not None:
        layers.append(reader.layer(len(layers), state, shape))
        state = layers[-1].output_norm.output
    if not layers or graph.resolve_identity(graph.outputs[0]) != state:
        raise NotNative("its graph does not end behind the last layer that is known")
    return NativeEncoder(embeddings, tuple(layers), heads, shape.relative_bias)


class _Reader:
    def __init__(self, graph: GraphIndex, family: NativeFamily) -> None:
        self._graph, self._family = graph, family
        self._width: int | None = None
        self._first_state = ""

    @property
    def width(self) -> int:
        """Known once the tables of embeddings are."""
        return self._width or 0

    def product_name(self, number: int, module: str) -> str:
        return f"/{self._family.layer}{number}/{module}/MatMul"

    def embeddings(self) -> Embeddings:
        node = self._node(f"/{EMBEDDINGS}/LayerNorm/LayerNormalization")
        gathers = {
            kind: self._graph.node(f"/{EMBEDDINGS}/{kind}_embeddings/Gather")
            for kind in ("word", "position", "token_type")
        }
        found = {kind: gather for kind, gather in gathers.items() if gather is not None}
        expected = sorted(gather.output[0] for gather in found.values())
        if not {"word", "position"} <= set(found) or sorted(self._addends(node.input[0])) != expected:
            raise NotNative("its embeddings are not those of a word, a position and a type")
        tables = {kind: self._table(gather) for kind, gather in found.items()}
        words, self._first_state = self._graph.constants[tables["word"]].dims[0], node.output[0]
        if found["word"].input[1] != "input_ids":
            raise NotNative("its word embeddings are not of the token ids")
        if "token_type" in found and not reads_first_type(self._graph, found["token_type"].input[1], words):
            raise NotNative("its token types are not all the first")
        return Embeddings(
            word=tables["word"],
            position=tables["position"],
            token_type=tables.get("token_type"),
            first_position=first_position(self._graph, found["position"].input[1], words),
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

    def layer(self, number: int, state: str, shape: AttentionShape) -> Layer:
        family, width = self._family, shape.width
        modules = (family.query, family.key, family.value)
        made, (query, key, value) = zip(
            *(self._linear(number, module, width, width) for module in modules), strict=True
        )
        if any(one.activation != state for one in (query, key, value)):
            raise NotNative(f"the attention of layer {number} reads something else than the layer before")
        attended, attention_output = self._linear(number, family.attention_output, width, width)
        states = dict.fromkeys((self._first_state, state))
        if not attention_is_plain(self._graph, made, [*states], attention_output.activation, shape):
            raise NotNative(f"the attention of layer {number} is none that the kernels compute")
        attention_norm = self._residual_norm(number, family.attention_norm, attended, state)
        middle, first = self._linear(number, family.feed_forward[0], width, None)
        last, second = self._linear(number, family.feed_forward[1], None, width)
        if first.activation != attention_norm.output:
            raise NotNative(f"the feed-forward block of layer {number} does not read its attention's norm")
        function = function_of(self._graph, middle, second.activation)
        if function is None:
            raise NotNative(f"the activation function of layer {number} is none that the kernels have")
        output_norm = self._residual_norm(number, family.output_norm, last, attention_norm.output)
        return Layer(query, key, value, attention_output, attention_norm, first, second, function, output_norm)

    def _linear(self, number: int, module: str, inputs: int | None, outputs: int | None) -> tuple[str, Linear]:
        """The value that a product with its bias makes, and its weights."""
        node = self._node(self.product_name(number, module))
        matrix = self._graph.weight(node.input[1], inputs, outputs)
        if matrix is None:
            raise NotNative(f"{node.name} has no matrix of the usual shape")
        readers = self._graph.consumers(node.output[0])
        if len(readers) == 1 and readers[0].op_type == "Add":
            columns = self._graph.constants[matrix].dims[1]
            others = [value for value in readers[0].input if value != node.output[0]]
            if len(others) == 1 and (bias := self._graph.weight(others[0], columns)):
                return readers[0].output[0], Linear(node.input[0], matrix, bias)
        raise NotNative(f"{node.name} is not followed by a bias")

    def _residual_norm(self, number: int, module: str, left: str, right: str) -> LayerNorm:
        node = self._node(f"/{self._family.layer}{number}/{module}/LayerNormalization")
        added = self._graph.producer(node.input[0])
        if added is None or added.op_type != "Add" or set(added.input) != {left, right}:
            raise NotNative(f"{node.name} does not read the sum of a block and what went into it")
        return self._norm(node)

    def _norm(self, node: NodeProto) -> LayerNorm:
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        vectors = [self._graph.weight(value, self._width) for value in node.input[1:]]
        if len(vectors) != 2 or attributes.get("axis", -1) != -1 or vectors[0] is None or vectors[1] is None:
            raise NotNative(f"{node.name} is no LayerNorm over channels with a factor and a bias")
        return LayerNorm(node.output[0], vectors[0], vectors[1], attributes.get("epsilon", 1e-5))

    def _table(self, gather: NodeProto) -> str:
        """Of embeddings; the first that is asked for decides the width of all that follows."""
        table = self._graph.weight(gather.input[0], None, self._width)
        if table is None or any(entry.i != 0 for entry in gather.attribute if entry.name == "axis"):
            raise NotNative(f"{gather.name} reads no table of the usual shape")
        self._width = self._graph.constants[table].dims[1]
        return table

    def _node(self, name: str) -> NodeProto:
        node = self._graph.node(name)
        if node is None:
            raise NotNative(f"its graph has no {name}")
        return node

    def _addends(self, value: str) -> list[str]:
        """What a sum is made of."""
        node = self._graph.producer(value)
        if node is None or node.op_type != "Add":
            return [value]
        return [addend for part in node.input for addend in self._addends(part)]
