"""Says how a native graph stores its weights, where that differs from what preparation says of any graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from build.graph.index import GraphIndex
from build.native.encoder import Embeddings
from build.quantization.record import BY_ROW, WeightRecord, round_to_nearest_record


def native_treatments(
    treatments: Sequence[WeightRecord], embeddings: Embeddings, parts: GraphIndex
) -> list[WeightRecord]:
    """The kernels smooth as they round: no node. Words have 8 bits, positions stay in fp32 whatever their size."""
    tables = {embeddings.word, embeddings.position, embeddings.token_type}
    kept = [replace(one, folded=bool(one.repeated or one.smoothing)) for one in treatments if one.weight not in tables]
    return [*kept, round_to_nearest_record(embeddings.word, tuple(parts.constants[embeddings.word].dims), BY_ROW)]
