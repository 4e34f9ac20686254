"""The servers of text embedding models: one row each."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.commands import run
from bench.environment import ENVIRONMENTS, ensure_environment, python_in
from bench.load.loads import Group
from bench.server.runtime import runtime_system
from bench.server.system import INCUMBENT, Launch, System
from bench.server.uvicorn import serve_app
from build.model.files import ModelFiles
from build.paths import ROOT
from manifest import Precision

INCUMBENT_ENVIRONMENT = ENVIRONMENTS / "incumbent-text"

PRECISION = Precision.INT8


def _incumbent_model(model: ModelFiles) -> Path:
    """In the environment that made it, and removed with it: other versions quantize to another model."""
    return INCUMBENT_ENVIRONMENT / "models" / model.source.revision.replace(":", "-")


def _prepare_incumbent(model: ModelFiles) -> None:
    ensure_environment(
        INCUMBENT_ENVIRONMENT,
        torch_requirement=ROOT / "build" / "torch-requirement.txt",
        requirements=ROOT / "bench" / "incumbent-text-requirements.txt",
    )
    output = _incumbent_model(model)
    if output.is_dir():
        return
    unfinished = output.with_name(output.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    python = python_in(INCUMBENT_ENVIRONMENT)
    run([python, "-m", "bench.incumbent.text_quantize", model.directory, unfinished], "the model cannot be quantized")
    unfinished.rename(output)


def _launch_incumbent(model: ModelFiles, port: int) -> Launch:
    return serve_app(INCUMBENT_ENVIRONMENT, "text_app", _incumbent_model(model), port, ORT_DISABLE_TELEMETRY="1")


TEXT_SYSTEMS = (
    System(
        name=INCUMBENT,
        about="the ONNX mode of Weaviate's t2v-transformers, re-implemented: optimum's avx2 preset, FastAPI, uvicorn",
        environment=INCUMBENT_ENVIRONMENT,
        packages=(
            "fastapi",
            "onnxruntime",
            "optimum",
            "optimum-onnx",
            "tokenizers",
            "torch",
            "transformers",
            "uvicorn",
        ),
        prepare=_prepare_incumbent,
        launch=_launch_incumbent,
        loads=frozenset({Group.KEPT}),
    ),
    runtime_system(PRECISION),
)
