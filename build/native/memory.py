"""Knows what the native kernels take for a run: memory that grows with the number of tokens, not with its square."""

from __future__ import annotations

from build.graph.index import GraphIndex
from build.native.encoder import NativeEncoder
from build.native.packing import PANEL
from build.quantization.smoothing import added_channels
from manifest import WorkingMemory

FLOAT_BYTES = 4
STATES = 8
"""Times the width, in floats: a layer's input, queries, keys, values and context live together (5); what onnxruntime
keeps of values that have ended takes up to 3 more."""

KEY_AND_VALUE = 8
"""Bytes for a component of a key and of a value in attention's own copy, at most (kernels/src/simd_attention_floats.h;
in integers it is less), where each head has a thread."""

BESIDE = 16
"""Bytes for a token in a head, beside its components: biases by distance, scales (simd_attention.h)."""


KEPT_TOKENS = 128
"""Of what ended runs took, malloc keeps some in pieces that the next run does not fit into: as much as this many tokens
take, measured (`python -m bench.models.working_memory`)."""


def native_memory(encoder: NativeEncoder, parts: GraphIndex) -> WorkingMemory:
    """At most, for texts of any length.

    A feed-forward block holds hidden channels in 8 bits, and in fp32 as well where there are few rows for many threads,
    for 128 tokens on each thread (kernels/src/ops.cpp); they are counted for every token, since a text may have fewer.
    """
    width, hidden = (max(parts.constants[layer.first.matrix].dims[side] for layer in encoder.layers) for side in (0, 1))
    head = -(-width // encoder.heads // PANEL) * PANEL
    attention = encoder.heads * (KEY_AND_VALUE * head + BESIDE)
    feed_forward = (FLOAT_BYTES + 1) * (hidden + added_channels(hidden))
    per_token = FLOAT_BYTES * STATES * width + attention + feed_forward
    return WorkingMemory(fixed=KEPT_TOKENS * per_token, per_token=per_token, per_pair=0)
