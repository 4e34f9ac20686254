"""The servers of models of texts and images: one row each."""

from __future__ import annotations

from pathlib import Path

from bench.bundles import unverified_bundle
from bench.clip.models import engines_folder
from bench.environment import ENVIRONMENTS, ensure_environment
from bench.server.runtime import runtime_on
from bench.server.system import INCUMBENT, Launch, System
from bench.server.uvicorn import serve_app
from build.kinds.clip import PRECISIONS
from build.model.files import ModelFiles
from build.paths import ROOT
from build.precisions import PRECISIONS as SPECS
from manifest import Precision

INCUMBENT_ENVIRONMENT = ENVIRONMENTS / "incumbent-clip"

PRECISION = PRECISIONS[0]
"""What a build makes unless it is told otherwise."""

KEEP_ALIVE_SECONDS = "600"

BUILD_OPTIONS = ("--min-cosine-mean", "0", "--min-cosine-p1", "0", "--min-cosine-min", "0")
"""Quantization costs random weights more than trained ones, or less: the gate would say nothing."""


def bundle_of(model: ModelFiles, precision: Precision = PRECISION) -> Path:
    """This project's bundle, made the first time, and not verified. Raises ``BuildError``."""
    output = engines_folder(model) / precision
    return output if output.is_dir() else unverified_bundle(str(model.directory), SPECS[precision], output)


def _prepare_bundle(model: ModelFiles) -> None:
    bundle_of(model)


def _prepare_incumbent(model: ModelFiles) -> None:
    ensure_environment(
        INCUMBENT_ENVIRONMENT,
        torch_requirement=ROOT / "build" / "torch-requirement.txt",
        requirements=ROOT / "bench" / "incumbent-clip-requirements.txt",
    )


def _launch_incumbent(model: ModelFiles, port: int) -> Launch:
    # NOTE: by default it closes connections that wait 5 s for the warm-up of all.
    return serve_app(
        INCUMBENT_ENVIRONMENT, "clip_app", model.directory, port, UVICORN_TIMEOUT_KEEP_ALIVE=KEEP_ALIVE_SECONDS
    )


CLIP_SYSTEMS = (
    System(
        name=INCUMBENT,
        about="Weaviate's container of multi2vec-clip, re-implemented: sentence-transformers in fp32, FastAPI, uvicorn",
        environment=INCUMBENT_ENVIRONMENT,
        packages=("fastapi", "pillow", "sentence-transformers", "tokenizers", "torch", "transformers", "uvicorn"),
        prepare=_prepare_incumbent,
        launch=_launch_incumbent,
    ),
    runtime_on(f"its {PRECISION} bundle", bundle_of, _prepare_bundle),
)
