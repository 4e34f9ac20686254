"""Bundles of tiny random rerankers, without verification: random weights say nothing about fidelity."""

from __future__ import annotations

import io
from pathlib import Path

from build.bundle.staging import staged_output
from build.pipeline import BuildOptions, assemble, fetch_and_describe
from build.precisions import PRECISIONS
from build.progress import Progress, silence_libraries
from manifest import Precision, Target
from tests.support.bundles.cache import cached
from tests.support.models import tiny_models
from tests.support.models.tiny_models import TinyModel


def unverified_reranker(model: TinyModel) -> Path:
    """The model's bundle in int8, made once for all test processes."""
    return cached(f"unverified-{model.name}", lambda output: _build(model, output))


def _build(model: TinyModel, output: Path) -> None:
    directory = str(tiny_models.make(model))
    options = BuildOptions(directory, None, Target.AMD64, Precision.INT8, output, force=False)
    progress = Progress(stream=io.StringIO())
    described = fetch_and_describe(options, progress)
    with staged_output(output, force=False) as staging, silence_libraries():
        assemble(described, PRECISIONS[Precision.INT8], options.target, staging, progress)
