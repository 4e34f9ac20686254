"""Lists the systems that can be measured: one row each, with how to get it ready and how to start it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.environment import ensure_environment
from bench.errors import SetupFailed
from bench.server.process import Server, free_port
from build.cli import default_output
from build.host.machine import host_target
from build.model.default_model import MODEL
from build.model.files import ModelFiles
from build.paths import ROOT
from manifest import MANIFEST_FILE, Precision

RUNTIME_ENVIRONMENT = ROOT / ".venv" / "runtime"
INCUMBENT_ENVIRONMENT = ROOT / ".venv" / "incumbent"
BASELINE = "incumbent"
"""The system that the others' figures are divided by."""


@dataclass(frozen=True)
class Launch:
    """How a server is started. ``environment`` is all that it inherits besides PATH."""

    command: Sequence[str | Path]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class System:
    """``prepare(model)`` makes what is missing, and may take minutes; ``launch(model, port)`` is what is timed.

    ``packages`` are those of ``environment`` whose versions are worth noting.
    """

    name: str
    about: str
    environment: Path
    packages: tuple[str, ...]
    prepare: Callable[[ModelFiles], None]
    launch: Callable[[ModelFiles, int], Launch]

    def start(self, model: ModelFiles) -> Server:
        """A ready server on a free port. Raises ``ServerFailed``."""
        port = free_port()
        launch = self.launch(model, port)
        return Server(launch.command, port, {"PATH": os.defpath, **launch.environment}, ROOT)


def _bundle() -> Path:
    return ROOT / default_output(MODEL, None, Precision.INT8, host_target())


def _prepare_cpu2vec(model: ModelFiles) -> None:
    if (_bundle() / MANIFEST_FILE).is_file():
        return
    command = [sys.executable, "quantize.py", MODEL, "--precision", Precision.INT8, "--output", str(_bundle())]
    _run(command, "the bundle cannot be built")


def _launch_cpu2vec(model: ModelFiles, port: int) -> Launch:
    python = RUNTIME_ENVIRONMENT / "bin" / "python"
    settings = {"BUNDLE_DIR": str(_bundle()), "PORT": str(port), "LOG_LEVEL": "warning"}
    return Launch([python, "-m", "runtime"], settings)


def _incumbent_model(model: ModelFiles) -> Path:
    """In the environment that made it, and gone with it: a model quantized by other versions is another one."""
    return INCUMBENT_ENVIRONMENT / "models" / model.source.revision.replace(":", "-")


def _prepare_incumbent(model: ModelFiles) -> None:
    ensure_environment(
        INCUMBENT_ENVIRONMENT,
        torch_requirement=ROOT / "build" / "torch-requirement.txt",
        requirements=ROOT / "bench" / "incumbent-requirements.txt",
    )
    output = _incumbent_model(model)
    if output.is_dir():
        return
    unfinished = output.with_name(output.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    python = INCUMBENT_ENVIRONMENT / "bin" / "python"
    _run([python, "-m", "bench.incumbent.quantize", model.directory, unfinished], "the model cannot be quantized")
    unfinished.rename(output)


def _launch_incumbent(model: ModelFiles, port: int) -> Launch:
    python = INCUMBENT_ENVIRONMENT / "bin" / "python"
    address = ["--host", "127.0.0.1", "--port", str(port)]
    settings = {"MODEL_DIR": str(_incumbent_model(model)), "HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    return Launch([python, "-m", "uvicorn", "bench.incumbent.app:app", *address, "--log-level", "warning"], settings)


def _run(command: Sequence[str | Path], what: str) -> None:
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    try:
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=sys.stderr)
    except subprocess.CalledProcessError as error:
        raise SetupFailed(f"{what}: {error}") from None


SYSTEMS = (
    System(
        name=BASELINE,
        about="optimum's ONNX Runtime path, avx2 preset, under FastAPI and uvicorn: what people run today, replayed",
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
    ),
    System(
        name="cpu2vec",
        about="this project's runtime on its int8 bundle",
        environment=RUNTIME_ENVIRONMENT,
        packages=("falcon", "gunicorn", "numpy", "onnxruntime", "orjson", "tokenizers", "uvicorn", "uvloop"),
        prepare=_prepare_cpu2vec,
        launch=_launch_cpu2vec,
    ),
)
