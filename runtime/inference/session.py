"""Owns onnxruntime's sessions: the only module that imports onnxruntime, and where its errors are translated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from manifest import BundleError
from runtime.errors import InferenceFailed

SPIN_MICROSECONDS = "1000"


class Session:
    """A graph on so many threads, with its weights mapped from disk: two sessions of one graph share their pages."""

    def __init__(
        self, path: Path, threads: int, entries: Mapping[str, str], ops: Path | None = None, arena: bool = True
    ) -> None:
        """``entries`` are onnxruntime's configuration entries and those of the library of ``ops``; ``arena``: whether
        freed memory is kept for the next run. Raises ``BundleError`` for a graph or library that does not load.
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
                # PERF: the fused op is several times slower than the two that it replaces on some CPUs.
                disabled_optimizers=["SkipLayerNormFusion"],
            )
        except Exception as error:  # NOTE: onnxruntime's exceptions share no base class below Exception.
            raise BundleError(f"{path.name} cannot be loaded: {_first_line(error)}") from error
        self._giving_back = ort.RunOptions()
        if arena:
            self._giving_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def run(self, output: str, feed: Mapping[str, NDArray[Any]], give_back: bool = False) -> NDArray[np.float32]:
        """One output. ``give_back``: keep no memory for the next run. Releases the GIL. Raises ``InferenceFailed``."""
        try:
            result: NDArray[np.float32] = self._session.run([output], feed, self._giving_back if give_back else None)[0]
        except Exception as error:  # NOTE: see above.
            raise InferenceFailed(f"onnxruntime failed: {_first_line(error)}") from error
        return result


def _options(threads: int, arena: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    # NOTE: below «extended», onnxruntime ignores session.x64quantprecision without a word.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # PERF: else a second run over the same number of tokens takes its memory twice, and keeps it.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = arena
    # NOTE: on arm64 CPUs with SME these kernels round otherwise than on all others, and under emulation wrongly.
    options.add_session_config_entry("mlas.disable_kleidiai", "1")
    if threads > 1:
        # PERF: threads spin for the next node of the same run, and sleep between runs: an idle server costs nothing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
        options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _register(options: ort.SessionOptions, ops: Path) -> None:
    try:
        options.register_custom_ops_library(str(ops))
    except Exception as error:  # NOTE: see above.
        raise BundleError(f"{ops.name} cannot be used: {_first_line(error)}; run `make kernels`") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
