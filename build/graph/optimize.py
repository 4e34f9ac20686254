"""Fifth stage: onnxruntime's own graph rewrites, done once here instead of at every start."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # NOTE: else the wheel writes an id and a database below $HOME.
import onnxruntime as ort

OPTIMIZED = "optimized.onnx"


def optimize(graph: Path, work: Path) -> Path:
    """Write the rewritten graph below ``work`` and return its path.

    Level «extended» holds for every CPU; the level above may bake in what suits this one. Weights are not prepacked,
    for the same reason.
    """
    optimized = work / OPTIMIZED
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(optimized)
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_file_name", optimized.name + ".data"
    )
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    ort.InferenceSession(
        str(graph),
        options,
        providers=["CPUExecutionProvider"],
        # PERF: the fused op is several times slower than the two that it replaces on some CPUs.
        disabled_optimizers=["SkipLayerNormFusion"],
    )
    return optimized
