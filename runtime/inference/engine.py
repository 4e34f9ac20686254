"""Defines what runs token batches, and opens the engine that a graph needs."""

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
    """Runs token batches on one core or on all. A text gives the same bits either way, alone or beside others."""

    @property
    def supports_batching(self) -> bool:
        """Whether a batch of several texts is one run, which takes less time than a run for each."""

    def run(self, batch: TokenBatch, cores: int) -> NDArray[np.float32]:
        """Token embeddings, (sum of lengths, hidden). Ask for more than one core only if nothing else runs.

        Raises ``InferenceFailed``.
        """


def open_engine(path: Path, graph: Graph, cores: int, native_ops: NativeOps | None = None) -> Engine:
    """The engine for the graph at ``path``. ``native_ops``: for graphs of native ops.

    Raises ``BundleError`` for a graph that does not load, or wants what this runtime does not have.
    """
    if graph.layout is Layout.PADDED and graph.ops is None:
        _check_inputs(path, graph.inputs, PaddedEngine.INPUTS)
        return PaddedEngine(path, graph, cores)
    if graph.layout is Layout.PACKED and graph.ops is not None and native_ops is not None:
        _check_inputs(path, graph.inputs, PackedEngine.INPUTS)
        return PackedEngine(path, graph, cores, native_ops)
    ops = "native ops" if graph.ops is not None else "onnxruntime's ops alone"
    raise BundleError(f"{path.name} is {graph.layout} and of {ops}, which this runtime does not run: rebuild it")


def _check_inputs(path: Path, wanted: Iterable[str], known: Mapping[str, object]) -> None:
    if unknown := sorted(set(wanted) - set(known)):
        raise BundleError(f"{path.name} wants an input that this runtime cannot give: {unknown[0]}")
