"""Matches an exported graph against the native encoder, checking every part numerically."""

from __future__ import annotations

from build.graph.index import GraphIndex
from build.native.encoder import Embeddings, NativeEncoder, NotNative
from build.native.equivalence import AttentionShape, ends_with, first_position, reads_first_type, reads_ids
from build.native.layer_matcher import LayerMatcher
from build.native.patterns import NativeFamily
from build.native.relative_bias import BUCKETS

TOKEN_TYPES = "token_type_ids"
"""The name of a graph's input of token types."""


def match_encoder(
    graph: GraphIndex, family: NativeFamily, heads: int, token_types: bool = False, end: int | None = None
) -> NativeEncoder:
    """Return the encoder that the graph computes: embeddings and a chain of the family's layers, and nothing else.

    ``token_types``: whether tokens may have other types than 0. ``end``: the token that every text ends with and has
    nowhere else, where what the graph does with others does not matter.
    The chain is followed value by value from the token ids to the graph's output, so that no node is missed. The parts
    between weights are run and compared with what the kernels compute. Raises ``NotNative`` if anything differs.
    """
    matcher = _TextMatcher(graph, family)
    embeddings = matcher.embeddings(token_types)
    shape = AttentionShape(matcher.width, heads, matcher.relative_bias(heads), family.mask)
    layers, state = matcher.layers(embeddings.output, shape)
    final_norm = None
    if family.final_norm is not None:
        final_norm = matcher.norm(family.final_norm, state)
        state = final_norm.output
    output = graph.resolve_identity(graph.outputs[0])
    if not layers or not (output == state or ends_with(graph, state, output, shape.width, end)):
        raise NotNative("its graph does not end after its last known layer")
    return NativeEncoder(embeddings, layers, heads, shape.relative_bias, family.mask, family.norm_first, final_norm)


class _TextMatcher(LayerMatcher):
    def embeddings(self, token_types: bool) -> Embeddings:
        graph, family = self._graph, self._family
        modules = {"word": family.word, "position": family.position, "token_type": family.token_type}
        gathers = {kind: graph.node(f"/{module}/Gather") for kind, module in modules.items() if module is not None}
        found = {kind: gather for kind, gather in gathers.items() if gather is not None}
        values = sorted(gather.output[0] for gather in found.values())
        if family.embeddings_norm is None:
            output = self._sum_of(values)
        else:
            output = self._node(f"/{family.embeddings_norm}/LayerNormalization").input[0]
        if output is None or not {"word", "position"} <= set(found) or sorted(self._addends(output)) != values:
            raise NotNative("its embeddings are not the sum of those of a word, a position and a token type")
        tables = {kind: self._table(gather) for kind, gather in found.items()}
        norm = None if family.embeddings_norm is None else self.norm(family.embeddings_norm, output)
        vocabulary, positions = (graph.constants[tables[kind]].dims[0] for kind in ("word", "position"))
        if not reads_ids(graph, found["word"].input[1], vocabulary):
            raise NotNative("its word embeddings are not looked up by token id")
        if "token_type" in found and not reads_first_type(graph, found["token_type"].input[1], vocabulary):
            raise NotNative("its tokens do not all have the type 0")
        if token_types and "token_type" in found and found["token_type"].input[1] != TOKEN_TYPES:
            raise NotNative("its token types are not looked up by its input of token types")
        return Embeddings(
            word=tables["word"],
            position=tables["position"],
            token_type=tables.get("token_type"),
            reads_types=token_types and "token_type" in found,
            first_position=first_position(graph, found["position"].input[1], vocabulary, positions),
            norm=norm,
            output=output if norm is None else norm.output,
        )

    def relative_bias(self, heads: int) -> str | None:
        if self._family.relative_bias is None:
            return None
        node = self._node(f"/{self._family.relative_bias}/Gather")
        table = self._graph.weight(node.input[0], None, heads)
        if table is None or self._graph.constants[table].dims[0] < BUCKETS:
            raise NotNative(f"its relative attention bias is not a table of {BUCKETS} buckets")
        return table
