"""The only module of the build that imports onnxruntime: telemetry off, and session options in one place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # NOTE: otherwise the import writes an id and a database below $HOME.
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto

WARNINGS_OFF, ERRORS_OFF = 3, 4
"""Levels of onnxruntime's log: errors and worse, fatal errors alone."""


def save_optimized(graph: Path, optimized: Path, disabled: Sequence[str]) -> None:
    """Write the graph as onnxruntime rewrites it, without the optimizers ``disabled``, with its weights beside it.

    Level "extended" is right for every CPU; the level above may suit this machine's alone. Weights are not prepacked,
    for the same reason.
    """
    options = _options(WARNINGS_OFF)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(optimized)
    options.add_session_config_entry("session.disable_prepacking", "1")
    prefix = "session.optimized_model_external_initializers"
    options.add_session_config_entry(f"{prefix}_file_name", f"{optimized.name}.data")
    options.add_session_config_entry(f"{prefix}_min_size_in_bytes", "1024")
    _open(str(graph), options, disabled)


def open_temporary(model: ModelProto, path: Path) -> ort.InferenceSession:
    """Open a model whose external weights are in the directory of ``path``, where it is written only to be read."""
    path.write_bytes(model.SerializeToString())
    options = _options(WARNINGS_OFF)
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.disable_prepacking", "1")  # PERF: it makes a second copy of the weights.
    session = _open(str(path), options)
    path.unlink()
    return session


def run_model(model: ModelProto, inputs: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any] | None:
    """Run a small model on one thread and return one output; None where onnxruntime cannot run it."""
    options = _options(ERRORS_OFF)
    options.intra_op_num_threads = 1
    try:
        result: NDArray[Any] = _open(model.SerializeToString(), options).run([output], dict(inputs))[0]
    except Exception:  # NOTE: onnxruntime has an exception for each status.
        return None
    return result


def _options(log_severity: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = log_severity
    return options


def _open(model: str | bytes, options: ort.SessionOptions, disabled: Sequence[str] = ()) -> ort.InferenceSession:
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"], disabled_optimizers=[*disabled])
