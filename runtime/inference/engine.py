"""The interface of what runs token batches, and the choice of an engine for a graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from manifest import BundleError, Graph, Layout
from runtime.inference.native_ops import NativeOps
from runtime.inference.packed_engine import PackedEngine
from runtime.inference.padded_engine import PaddedEngine
from runtime.inference.token_batch import TokenBatch


class Engine(Protocol):
    """Runs token batches on one core or on all. A text gives the same bits either way, alone or in a batch."""

    @property
    def supports_batching(self) -> bool:
        """Whether several texts share one run, which takes less time than a run for each."""

    @property
    def pools(self) -> bool:
        """Whether it can give pooled vectors of texts."""

    def run(self, batch: TokenBatch, cores: int) -> NDArray[np.float32]:
        """Return the embeddings of the tokens, or the pooled vectors of the texts, that are wanted: (results, hidden).

        Raises ``InferenceFailed``.

        Pass more than one core only if nothing else runs.
        """


def open_engine(path: Path, graph: Graph, cores: int, native_ops: NativeOps | None = None) -> Engine:
    """Open the engine that runs the graph at ``path``. Graphs of native ops need ``native_ops``.

    Raises ``BundleError`` for a graph that does not load, or that needs what this runtime does not have.
    """
    if graph.layout is Layout.PADDED and graph.ops is None:
        _check_inputs(path, graph.inputs, PaddedEngine.INPUTS)
        return PaddedEngine(path, graph, cores)
    if graph.layout is Layout.PACKED and graph.ops is not None and native_ops is not None:
        _check_inputs(path, graph.inputs, PackedEngine.INPUTS)
        return PackedEngine(path, graph, cores, native_ops)
    ops = "native ops" if graph.ops is not None else "onnxruntime's ops"
    raise BundleError(
        f"{path.name} is a {graph.layout} graph of {ops}, which this runtime cannot run: rebuild it with quantize.py"
    )


def _check_inputs(path: Path, wanted: Iterable[str], known: Mapping[str, object]) -> None:
    if unknown := sorted(set(wanted) - set(known)):
        raise BundleError(f"{path.name} has the input {unknown[0]}, which this runtime does not provide")
