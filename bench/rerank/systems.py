"""The servers of rerankers: one row each."""

from __future__ import annotations

from pathlib import Path

from bench.environment import ENVIRONMENTS, ensure_environment
from bench.models.preparation import bundle_for
from bench.models.rows import Files
from bench.rerank.models import engines_folder
from bench.server.runtime import runtime_on
from bench.server.system import INCUMBENT, Launch, System
from bench.server.uvicorn import serve_app
from build.model.files import ModelFiles
from build.paths import ROOT
from manifest import Precision

INCUMBENT_ENVIRONMENT = ENVIRONMENTS / "incumbent-rerank"

PRECISION = Precision.INT8

KEEP_ALIVE_SECONDS = "600"

BUILD_OPTIONS = ("--min-rank-agreement", "0", "--min-top-kept", "0", "--max-score-error", "1000")
"""An untaught model scores documents nearly alike, so that the gate would measure noise."""


def native_bundle(model: ModelFiles) -> Path:
    """This project's bundle, made the first time, neither calibrated nor verified. Raises ``BuildError``."""
    return bundle_for(Files.NATIVE, str(model.directory), engines_folder(model), calibrate=False)


def _prepare_bundle(model: ModelFiles) -> None:
    native_bundle(model)


def _prepare_incumbent(model: ModelFiles) -> None:
    ensure_environment(
        INCUMBENT_ENVIRONMENT,
        torch_requirement=ROOT / "build" / "torch-requirement.txt",
        requirements=ROOT / "bench" / "incumbent-rerank-requirements.txt",
    )


def _launch_incumbent(model: ModelFiles, port: int) -> Launch:
    # NOTE: by default it closes connections that wait 5 s for the warm-up of all.
    return serve_app(
        INCUMBENT_ENVIRONMENT, "rerank_app", model.directory, port, UVICORN_TIMEOUT_KEEP_ALIVE=KEEP_ALIVE_SECONDS
    )


RERANK_SYSTEMS = (
    System(
        name=INCUMBENT,
        about="Weaviate's container of reranker-transformers, re-implemented: CrossEncoder in fp32, FastAPI, uvicorn",
        environment=INCUMBENT_ENVIRONMENT,
        packages=("fastapi", "sentence-transformers", "tokenizers", "torch", "transformers", "uvicorn"),
        prepare=_prepare_incumbent,
        launch=_launch_incumbent,
    ),
    runtime_on(f"its {PRECISION} bundle", native_bundle, _prepare_bundle),
)
