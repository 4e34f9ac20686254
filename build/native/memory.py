"""The working memory of a run on the native kernels, which grows linearly with the number of tokens."""

from __future__ import annotations

from build.graph.index import GraphIndex
from build.native.encoder import NativeEncoder, PatchEmbeddings
from build.native.packing import PANEL
from build.quantization.smoothing import added_channels
from manifest import WorkingMemory

FLOAT_BYTES = 4

LIVE_STATES = 8
"""As many floats per token, times the width, are alive at once: a layer's input, queries, keys, values, context and the
output (6); in a graph of single steps, up to 3 more than 5 that onnxruntime keeps of values that are no longer needed.
Where norms come first, there is a normalized copy of the input as well."""

LIVE_PATCHES = 3
"""As many copies of an image's pixels are alive at once: as they were given, cut into patches, and in between."""

KEY_VALUE_BYTES = 8
"""Attention's copy of keys and values takes at most this many bytes per token and channel, if every head has a thread
(kernels/src/simd_attention_floats.h; integers take less)."""

HEAD_OVERHEAD_BYTES = 16
"""Attention also takes this many bytes per token and head, for biases by distance and scales (simd_attention.h)."""

RETAINED_TOKENS = 128
"""malloc retains fragments of earlier runs that the next one cannot use: as much as this many tokens take, measured
(`python -m bench.models.working_memory`)."""


def native_memory(encoder: NativeEncoder, graph: GraphIndex) -> WorkingMemory:
    """Return an upper bound for texts of any length.

    A feed-forward block holds hidden channels in 8 bits. If there are few rows for many threads, it also holds them in
    fp32, for 128 tokens on each thread (kernels/src/ops.cpp). That is counted for every token, since a text may have
    fewer.
    """
    shapes = [graph.constants[layer.first.matrix].dims for layer in encoder.layers]
    width, hidden = (max(shape[axis] for shape in shapes) for axis in (0, 1))
    head = -(-width // encoder.heads // PANEL) * PANEL
    attention = encoder.heads * (KEY_VALUE_BYTES * head + HEAD_OVERHEAD_BYTES)
    feed_forward = (FLOAT_BYTES + 1) * (hidden + added_channels(hidden))
    states = LIVE_STATES + encoder.norm_first
    per_token = FLOAT_BYTES * states * width + attention + feed_forward
    return WorkingMemory(fixed=RETAINED_TOKENS * per_token, per_token=per_token, per_pair=0)


def image_memory(encoder: NativeEncoder, patches: PatchEmbeddings, graph: GraphIndex) -> int:
    """Return an upper bound for an image that an encoder of ``patches`` reads, in bytes."""
    tokens, width = patches.table.shape
    channels = graph.constants[patches.product.matrix].dims[0]
    pixels = (FLOAT_BYTES * LIVE_PATCHES + 1) * tokens * channels
    return native_memory(encoder, graph).of(tokens) + pixels + FLOAT_BYTES * LIVE_STATES * tokens * width
