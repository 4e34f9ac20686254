"""The servers of static models: one row each."""

from __future__ import annotations

from bench.commands import Command
from bench.environment import ENVIRONMENTS, RUNTIME_ENVIRONMENT, ensure_environment, python_in
from bench.server.runtime import RUNTIME_PACKAGES, runtime_system
from bench.server.system import INCUMBENT, ONE_TEXT_EACH, STUB, Launch, System
from bench.server.uvicorn import serve_app
from bench.static.model import DIMENSIONS
from build.model.files import ModelFiles
from build.paths import ROOT
from manifest import Precision

INCUMBENT_ENVIRONMENT = ENVIRONMENTS / "incumbent-static"

PRECISION = Precision.STORED


def _prepare_incumbent(model: ModelFiles) -> None:
    ensure_environment(INCUMBENT_ENVIRONMENT, ROOT / "bench" / "incumbent-static-requirements.txt")


def _launch_incumbent(model: ModelFiles, port: int) -> Launch:
    return serve_app(INCUMBENT_ENVIRONMENT, "static_app", model.directory, port)


def http_server_alone(dim: int) -> System:
    """What answers with vectors of ``dim`` components, and needs no model for that."""

    def launch(model: ModelFiles, port: int) -> Launch:
        command: Command = [python_in(RUNTIME_ENVIRONMENT), "-m", "bench.static.stub", str(dim)]
        return Launch(command, {"PORT": str(port), "LOG_LEVEL": "warning"})

    return System(
        name=STUB,
        about="this project's HTTP server alone, with the same vector for every text",
        environment=RUNTIME_ENVIRONMENT,
        packages=RUNTIME_PACKAGES,
        prepare=lambda model: None,
        launch=launch,
        loads=ONE_TEXT_EACH,
        has_model=False,
    )


STATIC_SYSTEMS = (
    System(
        name=INCUMBENT,
        about="Weaviate's container of text2vec-model2vec, re-implemented: model2vec, FastAPI, uvicorn, its cache",
        environment=INCUMBENT_ENVIRONMENT,
        packages=("cachetools", "fastapi", "model2vec", "numpy", "tokenizers", "uvicorn"),
        prepare=_prepare_incumbent,
        launch=_launch_incumbent,
        loads=ONE_TEXT_EACH,
    ),
    runtime_system(PRECISION),
    http_server_alone(DIMENSIONS),
)
