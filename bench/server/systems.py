"""The systems that can be measured: one row each, with how to prepare it and how to start it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.commands import Command, run
from bench.environment import INCUMBENT_ENVIRONMENT, RUNTIME_ENVIRONMENT, ensure_environment, python_in
from bench.server.loads import Group
from bench.server.process import Server, free_port
from build.host.machine import host_target
from build.model.default_model import MODEL
from build.model.files import ModelFiles
from build.names import default_output
from build.paths import ROOT
from manifest import MANIFEST_FILE, Precision

INCUMBENT, CPU2VEC = "incumbent", "cpu2vec"


@dataclass(frozen=True)
class Launch:
    """How to start a server."""

    command: Command
    environment: Mapping[str, str]
    """All that the server inherits besides PATH."""
    folder: Path = ROOT
    """The working directory."""


@dataclass(frozen=True)
class System:
    """One embedding server."""

    name: str
    about: str
    environment: Path
    """The virtual environment that it runs in."""
    packages: tuple[str, ...]
    """The packages of ``environment`` whose versions are reported."""
    prepare: Callable[[ModelFiles], None]
    """Makes what is missing for a model, which may take minutes. Raises ``SetupFailed``."""
    launch: Callable[[ModelFiles, int], Launch]
    """How to serve a model on a port; the start is timed."""
    loads: frozenset[Group] = frozenset(Group)
    """The loads that it is put under."""

    def start(self, model: ModelFiles) -> Server:
        """A ready server on a free port. Raises ``ServerFailed``."""
        port = free_port()
        launch = self.launch(model, port)
        return Server(launch.command, port, {"PATH": os.defpath, **launch.environment}, launch.folder)


RUNTIME_PACKAGES = ("falcon", "gunicorn", "httptools", "numpy", "onnxruntime", "orjson", "tokenizers", "uvloop")


def serve_bundle(environment: Path, bundle: Path, port: int, folder: Path = ROOT) -> Launch:
    """The runtime in ``folder``, with the packages of ``environment``."""
    settings = {"BUNDLE_DIR": str(bundle), "PORT": str(port), "LOG_LEVEL": "warning"}
    return Launch([python_in(environment), "-m", "runtime"], settings, folder)


def build_bundle(python: Path | str, model: str, output: Path, folder: Path = ROOT) -> None:
    """Let the ``quantize.py`` in ``folder`` build the int8 bundle. Raises ``SetupFailed``."""
    command = [python, "quantize.py", model, "--precision", Precision.INT8, "--output", output]
    run(command, "the bundle cannot be built", folder=folder)


def _bundle() -> Path:
    return ROOT / default_output(MODEL, None, Precision.INT8, host_target())


def _prepare_cpu2vec(model: ModelFiles) -> None:
    if not (_bundle() / MANIFEST_FILE).is_file():
        build_bundle(sys.executable, MODEL, _bundle())


def _launch_cpu2vec(model: ModelFiles, port: int) -> Launch:
    return serve_bundle(RUNTIME_ENVIRONMENT, _bundle(), port)


def _incumbent_model(model: ModelFiles) -> Path:
    """In the environment that made it, and removed with it: other versions quantize to another model."""
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
    python = python_in(INCUMBENT_ENVIRONMENT)
    run([python, "-m", "bench.incumbent.quantize", model.directory, unfinished], "the model cannot be quantized")
    unfinished.rename(output)


def _launch_incumbent(model: ModelFiles, port: int) -> Launch:
    python = python_in(INCUMBENT_ENVIRONMENT)
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    settings = {"MODEL_DIR": str(_incumbent_model(model)), "HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    return Launch([python, "-m", "uvicorn", "bench.incumbent.app:app", *options], settings)


SYSTEMS = (
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
    System(
        name=CPU2VEC,
        about="this project's runtime on its int8 bundle",
        environment=RUNTIME_ENVIRONMENT,
        packages=RUNTIME_PACKAGES,
        prepare=_prepare_cpu2vec,
        launch=_launch_cpu2vec,
    ),
)
