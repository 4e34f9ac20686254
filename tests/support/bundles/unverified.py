"""Bundles as the pipeline has them before verification, which takes most of a build's time."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from build.bundle.staging import staged_output
from build.kinds.text import AssembledText, TextBuild
from build.model.trust import NO_TRUST, Trust
from build.pipeline import BuildOptions, assemble, fetch_and_describe
from build.precisions import PRECISIONS
from build.progress import Progress, silence_libraries
from manifest import Manifest, Precision, Target


@dataclass(frozen=True)
class Unverified:
    """A bundle that can be served, and what the pipeline knows of it."""

    bundle: Path
    build: TextBuild
    assembled: AssembledText
    manifest: Manifest
    lines: str
    """What the stages wrote to the terminal."""


def unverified(
    directory: Path,
    output: Path,
    precision: Precision = Precision.INT8,
    trust: Trust = NO_TRUST,
    target: Target = Target.AMD64,
) -> Unverified:
    """The bundle of the model in ``directory``, made by the real stages."""
    lines = io.StringIO()
    progress = Progress(stream=lines)
    options = BuildOptions(str(directory), None, target, precision, output, force=False, trust=trust)
    described = fetch_and_describe(options, progress)
    assert isinstance(described.build, TextBuild)
    with staged_output(output, force=False) as staging, silence_libraries():
        assembled, manifest = assemble(described, PRECISIONS[precision], target, staging, progress)
    assert isinstance(assembled, AssembledText)
    return Unverified(output, described.build, assembled, manifest, lines.getvalue())
