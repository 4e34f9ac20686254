"""Runs graphs of native ops: all texts of a batch in one run, concatenated and never padded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from manifest import Graph
from runtime.inference.native_ops import NativeOps
from runtime.inference.session import WIDE_FROM_TOKENS, Session, SessionPair
from runtime.inference.token_batch import TokenBatch

ROWS = "rows"
"""The input of a graph that computes only the embeddings that are wanted."""

POOLED = "pooled"
"""The input of a graph that can pool: of each text as in a batch, or of none."""

WIDE_ENCODER_FROM_TOKENS = 1
"""The op of a whole encoder starts its threads once, and waits for none of them, so that every text gains by them."""

NOTHING_POOLED: NDArray[np.int64] = np.zeros((0, 3), np.int64)


class PackedEngine:
    """Implements ``engine.Engine``. A text gives the same bits whatever else is in the batch.

    Activations are quantized token by token, and attention sees one text alone.
    """

    INPUTS: ClassVar[dict[str, Callable[[TokenBatch], NDArray[np.int64]]]] = {
        "input_ids": lambda batch: batch.ids,
        "lengths": lambda batch: batch.lengths,
        "token_type_ids": lambda batch: batch.token_types,
        ROWS: lambda batch: batch.wanted_rows,
        POOLED: lambda batch: batch.pooled if batch.pooled is not None else NOTHING_POOLED,
    }
    """The inputs that a graph may have, from a batch."""

    supports_batching = True

    def __init__(self, path: Path, graph: Graph, cores: int, native_ops: NativeOps) -> None:
        """Raises ``BundleError`` for a graph or a library that does not load."""
        self._inputs, self._output = graph.inputs, graph.output
        self.pools = POOLED in graph.inputs
        self._sessions = open_native_sessions(path, cores, native_ops, WIDE_ENCODER_FROM_TOKENS)

    def run(self, batch: TokenBatch, cores: int) -> NDArray[np.float32]:
        """See ``engine.Engine``."""
        feed = {name: self.INPUTS[name](batch) for name in self._inputs}
        embeddings = self._sessions.run(self._output, feed, len(batch.ids), cores)
        return embeddings if ROWS in feed or batch.pooled is not None else batch.select(embeddings)


def open_native_sessions(
    path: Path, cores: int, native_ops: NativeOps, wide_from: int = WIDE_FROM_TOKENS
) -> SessionPair:
    """Open a graph of native ops, which runs so many tokens or more on all cores.

    Raises ``BundleError`` for a graph or a library that does not load.
    """

    def open_session(threads: int) -> Session:
        entries = {"cpu2vec.threads": str(threads), "cpu2vec.isa": native_ops.isa}
        return Session(path, threads, entries, native_ops.library, arena=False)

    return SessionPair.open(open_session, cores, wide_from)
