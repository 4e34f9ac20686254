"""Makes bundles that nobody has verified: enough to run and to measure, in a fraction of the time."""

from __future__ import annotations

from pathlib import Path

from build.bundle.staging import staged
from build.host.machine import host_target
from build.pipeline import STAGES, BuildOptions, assemble, fetch_and_describe
from build.precisions import PrecisionSpec
from build.progress import Progress
from build.quiet import quiet


def unverified_bundle(model: str, spec: PrecisionSpec, output: Path) -> Path:
    """``output``, which must not exist. Raises ``BuildError``."""
    progress, target = Progress(STAGES), host_target()
    options = BuildOptions(model, None, target, spec.precision, output, force=False)
    described = fetch_and_describe(options, progress)
    with staged(output, force=False) as staging, quiet():
        assemble(described, spec, target, staging, progress)
    return output
