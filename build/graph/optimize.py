"""Applies onnxruntime's own graph rewrites once, at build time, instead of at every start of the server."""

from __future__ import annotations

from pathlib import Path

from build.graph.session import save_optimized

OPTIMIZED = "optimized.onnx"

DISABLED = ("SkipLayerNormFusion",)
"""PERF: on some CPUs its fused op is several times slower than the two that it replaces."""


def optimize(graph: Path, work: Path) -> Path:
    """Write the rewritten graph below ``work`` and return its path."""
    save_optimized(graph, work / OPTIMIZED, DISABLED)
    return work / OPTIMIZED
