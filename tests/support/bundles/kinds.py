"""A verified bundle of each kind of model besides the default model's, which other tests need as well."""

from __future__ import annotations

import io
from pathlib import Path

from build.fidelity.thresholds import ThresholdOverrides
from build.pipeline import BuildOptions, build_bundle
from build.progress import Progress
from manifest import Kind, Precision, Target
from tests.support.bundles.cache import cached
from tests.support.models.distilled import distilled_model
from tests.support.models.taught_reranker import taught_reranker
from tests.support.models.tiny_clip import make_network


def bundle_of(kind: Kind) -> Path:
    """Made once for all test processes. Tests must not write to it. Raises ``KeyError`` for text models."""
    return {Kind.CLIP: clip_bundle, Kind.RERANK: rerank_bundle, Kind.STATIC: static_bundle}[kind]()


def static_bundle(precision: Precision = Precision.STORED) -> Path:
    """Of a model that means something."""
    return cached(f"distilled-{precision}", lambda output: _build(distilled_model(), output, precision))


def rerank_bundle() -> Path:
    """Of a model that means something, in int8.

    So little training leaves near-duplicates so close to each other that which is first may depend on the processor
    that trained, so that one threshold is lower than the default.
    """
    return cached(
        "taught-reranker-int8", lambda output: _build(taught_reranker(), output, Precision.INT8, top_kept=0.9)
    )


def clip_bundle() -> Path:
    """Of a tiny random model."""
    model = cached("model-clip-transformers", make_network)
    return cached("clip-transformers", lambda output: _build(model, output, Precision.FP32))


def _build(model: Path, output: Path, precision: Precision, **thresholds: float) -> None:
    overrides = ThresholdOverrides(thresholds)
    options = BuildOptions(str(model), None, Target.AMD64, precision, output, force=False, thresholds=overrides)
    build_bundle(options, Progress(stream=io.StringIO()))
