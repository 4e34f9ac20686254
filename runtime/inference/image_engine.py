"""Runs the graph of an image model: one image at a time, on one core or on all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifest import BundleError, Graph
from runtime.inference.native_ops import NativeOps
from runtime.inference.packed_engine import open_native_sessions
from runtime.inference.padded_engine import signed_weights_saturate
from runtime.inference.session import WIDE_FROM_TOKENS, Session, SessionPair

PATCHES = WIDE_FROM_TOKENS
"""An image has at least so many patches, which are to it what tokens are to a text."""


class ImageEngine:
    """An image gives the same bits on one core and on all."""

    def __init__(self, path: Path, graph: Graph, cores: int, native_ops: NativeOps | None = None) -> None:
        """Graphs of native ops need ``native_ops``. Raises ``BundleError`` for a graph that does not load."""
        (self._input,) = graph.inputs
        self._output = graph.output
        if graph.ops is None:
            # NOTE: one scale per tensor in dynamic int8, so that a vector would depend on the other images of a run.
            entries = {"session.x64quantprecision": "1"} if signed_weights_saturate() else {}
            self._sessions = SessionPair.open(lambda threads: Session(path, threads, entries), cores)
        elif native_ops is not None:
            self._sessions = open_native_sessions(path, cores, native_ops)
        else:
            raise BundleError(f"{path.name} is a graph of native ops, and their library is not loaded")

    def run(self, pixels: NDArray[np.float32], cores: int) -> NDArray[np.float32]:
        """(3, side, side) to (dim,). Pass more than one core only if nothing else runs. Raises ``InferenceFailed``."""
        vector: NDArray[np.float32] = self._sessions.run(self._output, {self._input: pixels[None]}, PATCHES, cores)[0]
        return vector
