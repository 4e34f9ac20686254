"""Matches the exported graph of an image encoder: patches and a class token, layers, a norm and a projection."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from build.graph.index import GraphIndex
from build.native.encoder import NativeEncoder, NotNative, PatchEmbeddings
from build.native.equivalence import TOKENS, AttentionShape
from build.native.layer_matcher import LayerMatcher
from build.native.patterns import NativeFamily

PIXELS = "pixel_values"
CHANNELS = 3


def match_image_encoder(graph: GraphIndex, family: NativeFamily, heads: int, side: int) -> NativeEncoder:
    """Return the encoder that the graph computes of images of ``side`` x ``side`` pixels, and nothing else.

    The chain is followed value by value, and what lies between weights is compared with what the native graph computes.
    Raises ``NotNative`` if anything differs.
    """
    matcher = _ImageMatcher(graph, family)
    embeddings = matcher.embeddings(side)
    layers, state = matcher.layers(embeddings.output, AttentionShape(matcher.width, heads, None, family.mask))
    pooled = graph.node(f"/{family.final_norm}/LayerNormalization")
    if not layers or pooled is None or not _is_first_token(graph, state, pooled.input[0], matcher.width):
        raise NotNative("what follows its last known layer is not a norm of the class token")
    final_norm = matcher.norm(str(family.final_norm), pooled.input[0])
    output, projection = matcher.product(f"/{family.projection}/MatMul", matcher.width, None, bias=False)
    if projection.input != final_norm.output or graph.resolve_identity(graph.outputs[0]) != output:
        raise NotNative("its graph does not end after its projection")
    return NativeEncoder(embeddings, layers, heads, None, family.mask, family.norm_first, final_norm, projection)


class _ImageMatcher(LayerMatcher):
    def embeddings(self, side: int) -> PatchEmbeddings:
        graph, family = self._graph, self._family
        embedded, product = self.product(f"/{family.patches}/MatMul", None, None, bias=False)
        channels, self._width = graph.constants[product.matrix].dims
        patch = math.isqrt(channels // CHANNELS)
        grid = side // patch if patch else 0
        if not grid or grid * patch != side or CHANNELS * patch * patch != channels:
            raise NotNative(f"its images of {side} pixels are not divided into patches")
        pixels = np.random.default_rng(0).normal(size=(1, CHANNELS, side, side)).astype(np.float32)
        found = graph.run({PIXELS: pixels}, product.input)
        if found is None or not np.array_equal(found, _patches(pixels, patch)):
            raise NotNative("its product of patches does not read the pixels of each in a row")
        norm = self._node(f"/{family.embeddings_norm}/LayerNormalization")
        table = self._table_of(norm.input[0], embedded, pixels, grid * grid)
        return PatchEmbeddings(product, patch, grid, table, self._norm(norm))

    def _table_of(self, value: str, embedded: str, pixels: NDArray[np.float32], patches: int) -> NDArray[np.float32]:
        """What is added to each token in ``value``: the class token alone, before the patches that are ``embedded``."""
        rows = np.random.default_rng(1).normal(size=(2, 1, patches, self.width)).astype(np.float32)
        rows[0] = 0
        empty, full = (self._graph.run({embedded: some, PIXELS: pixels}, value) for some in rows)
        shape = (1, 1 + patches, self.width)
        if empty is None or full is None or empty.shape != shape or full.shape != shape:
            raise NotNative("its embeddings are not those of a class token and of patches")
        if not np.allclose(full - empty, np.pad(rows[1], ((0, 0), (1, 0), (0, 0))), rtol=0, atol=1e-4):
            raise NotNative("its embeddings are not the sum of patches and positions")
        table: NDArray[np.float32] = empty[0]
        return table


def _patches(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """(1, channels, rows, columns) to (1, patches, channels * side * side), row by row."""
    grid = pixels.shape[2] // side
    cut = pixels.reshape(1, CHANNELS, grid, side, grid, side).transpose(0, 2, 4, 1, 3, 5)
    return cut.reshape(1, grid * grid, -1)


def _is_first_token(graph: GraphIndex, state: str, value: str, width: int) -> bool:
    """Tell whether ``value`` is the first token of ``state``, (1, tokens, width)."""
    states = np.random.default_rng(0).normal(size=(1, TOKENS, width)).astype(np.float32)
    found = graph.run({state: states}, value)
    return found is not None and np.array_equal(found, states[:, 0])
