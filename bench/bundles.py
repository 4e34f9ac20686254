"""Builds bundles without verifying them: enough to run and to measure, in a fraction of the time."""

from __future__ import annotations

from pathlib import Path

from build.bundle.staging import staged_output
from build.host.machine import host_target
from build.pipeline import BuildOptions, assemble, fetch_and_describe
from build.precisions import PrecisionSpec
from build.progress import Progress, silence_libraries


def unverified_bundle(model: str, spec: PrecisionSpec, output: Path) -> Path:
    """Build a bundle at ``output``, which must not exist, and return that path. Raises ``BuildError``."""
    progress, target = Progress(), host_target()
    options = BuildOptions(model, None, target, spec.precision, output, force=False)
    described = fetch_and_describe(options, progress)
    with staged_output(output, force=False) as staging, silence_libraries():
        assemble(described, spec, target, staging, progress)
    return output
