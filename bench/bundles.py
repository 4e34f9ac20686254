"""Makes bundles that nobody has verified: enough to run and to measure, in a fraction of the time."""

from __future__ import annotations

from pathlib import Path

from build.bundle.staging import staged_output
from build.model.describe import describe
from build.model.fetch import fetch
from build.model.trust import NO_TRUST
from build.pipeline import STAGES, assemble
from build.precisions import Recipe
from build.progress import Progress, silence_libraries


def unverified_bundle(model: str, recipe: Recipe, output: Path) -> Path:
    """``output``, which must not exist. Raises ``BuildError``."""
    files = fetch(model, None, NO_TRUST)
    description = describe(files.directory, trust_remote_code=False)
    with staged_output(output, force=False) as staging, silence_libraries():
        assemble(files, description, recipe, NO_TRUST, staging, Progress(STAGES))
    return output
