"""Runs graphs of native ops, all texts of a batch at once: they lie one behind the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from manifest import Graph
from runtime.host.memory import release_free_memory
from runtime.inference.native_ops import NativeOps
from runtime.inference.session import Session
from runtime.inference.token_batch import TokenBatch

WIDE_FROM_TOKENS = 32
"""From here on two threads have the 16 rows each that the kernels share out; below, waking a second core costs what it
saves."""

LONG_RUN_TOKENS = 512
"""After a run over more, its memory is given back; below, the next run is faster with memory that is there."""


class PackedEngine:
    """Two sessions over the same memory-mapped weights: the narrow one keeps concurrent runs out of one another's way;
    the wide one answers a lone request sooner. Activations are quantized token by token and attention looks at one
    text alone, so that a text gives the same bits in either, whatever else is in the batch.
    """

    INPUTS: ClassVar[dict[str, Callable[[TokenBatch], NDArray[np.int64]]]] = {
        "input_ids": lambda batch: batch.ids,
        "lengths": lambda batch: batch.lengths,
    }

    supports_batching = True

    def __init__(self, path: Path, graph: Graph, cores: int, native_ops: NativeOps) -> None:
        """Raises ``BundleError`` for a graph or a library that does not load."""

        def session(threads: int) -> Session:
            entries = {"cpu2vec.threads": str(threads), "cpu2vec.isa": native_ops.isa}
            return Session(path, threads, entries, native_ops.library, arena=False)

        self._inputs, self._output = graph.inputs, graph.output
        self._narrow = session(1)
        self._wide = session(cores) if cores > 1 else self._narrow

    def run(self, batch: TokenBatch, cores: int) -> NDArray[np.float32]:
        tokens = len(batch.ids)
        session = self._wide if cores > 1 and tokens >= WIDE_FROM_TOKENS else self._narrow
        output = session.run(self._output, {name: self.INPUTS[name](batch) for name in self._inputs})
        if tokens > LONG_RUN_TOKENS:
            release_free_memory()
        return output
