"""Builds bundles without verifying them: enough to run and to measure, in a fraction of the time."""

from __future__ import annotations

from pathlib import Path

from build.bundle.staging import staged
from build.model.describe import describe
from build.model.fetch import fetch
from build.model.trust import NO_TRUST
from build.pipeline import STAGES, assemble
from build.precisions import Recipe
from build.progress import Progress
from build.quiet import quiet


def unverified_bundle(model: str, recipe: Recipe, output: Path) -> Path:
    """Build a bundle at ``output``, which must not exist, and return that path. Raises ``BuildError``."""
    files = fetch(model, None, NO_TRUST)
    description = describe(files.directory, trust_remote_code=False)
    with staged(output, force=False) as staging, quiet():
        assemble(files, description, recipe, NO_TRUST, staging, Progress(STAGES))
    return output
