"""onnxruntime's sessions: the only module that imports onnxruntime, and where its errors are translated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from manifest import BundleError
from runtime.errors import InferenceFailed
from runtime.host.memory import release_free_memory
from runtime.host.priority import at_lower_priority

SPIN_MICROSECONDS = "1000"
"""Threads of a wide session spin for this long for the next node of a run."""

WIDE_FROM_TOKENS = 32
"""The wide session runs batches of this many tokens or more. From there on, each of two threads gets a full block of 16
rows; below that, waking a second core costs more than it saves."""

LONG_RUN_TOKENS = 512
"""After a run over more tokens, its memory is returned to the operating system. After a shorter one it is kept, because
the next run is faster with memory that is already there."""


class Session:
    """A graph on a number of threads. Its weights are mapped from disk: two sessions of one graph share their pages."""

    def __init__(
        self, path: Path, threads: int, entries: Mapping[str, str], ops: Path | None = None, arena: bool = True
    ) -> None:
        """Load the graph at ``path``. Raises ``BundleError`` for a graph or library that does not load.

        ``entries`` are onnxruntime's configuration entries and those of the library of native ``ops``. ``arena`` says
        whether onnxruntime keeps freed memory for the next run.
        """
        options = _options(threads, arena)
        for key, value in entries.items():
            options.add_session_config_entry(key, value)
        if ops is not None:
            _register(options, ops)
        try:
            self._session = ort.InferenceSession(
                str(path),
                options,
                providers=["CPUExecutionProvider"],
                # PERF: on some CPUs the fused op is several times slower than the two ops that it replaces.
                disabled_optimizers=["SkipLayerNormFusion"],
            )
        except Exception as error:  # NOTE: onnxruntime's exceptions share no base class below Exception.
            raise BundleError(f"{path.name} cannot be loaded: {_first_line(error)}") from error
        self._shrink_arena = _shrink_arena() if arena else None

    def run(self, output: str, feed: Mapping[str, NDArray[Any]], release: bool = False) -> NDArray[np.float32]:
        """Return one output. Releases the GIL meanwhile. Raises ``InferenceFailed``.

        ``release`` keeps no memory in the arena for the next run.
        """
        try:
            options = self._shrink_arena if release else None
            result: NDArray[np.float32] = self._session.run([output], feed, options)[0]
        except Exception as error:  # NOTE: see above.
            raise InferenceFailed(f"onnxruntime failed: {_first_line(error)}") from error
        return result


@dataclass(frozen=True)
class SessionPair:
    """Two sessions of one graph, over the same mapped weights. Both return the same bits."""

    narrow: Session
    """One thread, so that concurrent runs stay out of each other's way."""
    wide: Session
    """All cores, so that a lone request is answered sooner; the narrow session itself where there is one core."""
    wide_from: int
    """The wide session runs batches of this many tokens or more."""

    @classmethod
    def open(cls, open_session: Callable[[int], Session], cores: int, wide_from: int = WIDE_FROM_TOKENS) -> SessionPair:
        """Open both sessions with ``open_session(threads)``. Their threads have a lower priority than the caller's."""

        def open_both() -> SessionPair:
            narrow = open_session(1)
            return cls(narrow, open_session(cores) if cores > 1 else narrow, wide_from)

        return at_lower_priority(open_both)

    def run(self, output: str, feed: Mapping[str, NDArray[Any]], tokens: int, cores: int) -> NDArray[np.float32]:
        """Return one output of a run over ``tokens``, on all cores if it may use several and gains by it.

        Returns a long run's memory to the operating system. Raises ``InferenceFailed``.
        """
        session = self.wide if cores > 1 and tokens >= self.wide_from else self.narrow
        is_long = tokens > LONG_RUN_TOKENS
        result = session.run(output, feed, release=is_long)
        if is_long:
            release_free_memory()
        return result


def _options(threads: int, arena: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    # NOTE: at lower levels, onnxruntime silently ignores session.x64quantprecision.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # PERF: with it, a second run over the same number of tokens takes its memory twice, and keeps it.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = arena
    # NOTE: on arm64 CPUs with SME, KleidiAI's kernels round differently from all others, and wrongly under emulation.
    options.add_session_config_entry("mlas.disable_kleidiai", "1")
    if threads > 1:
        # PERF: threads spin for the next node of the same run and sleep between runs: an idle server costs nothing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
        options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _shrink_arena() -> ort.RunOptions:
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _register(options: ort.SessionOptions, ops: Path) -> None:
    try:
        options.register_custom_ops_library(str(ops))
    except Exception as error:  # NOTE: see above.
        raise BundleError(f"{ops.name} cannot be used: {_first_line(error)}; run `make kernels`") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
