"""This project's runtime as a system: its bundle is built by ``quantize.py``, and served as in production."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.commands import run
from bench.environment import RUNTIME_ENVIRONMENT, python_in
from bench.server.system import CPU2VEC, Launch, System
from build.host.machine import host_target
from build.model.files import ModelFiles
from build.names import default_output
from build.paths import ROOT
from manifest import MANIFEST_FILE, Precision, SourceKind

RUNTIME_PACKAGES = ("falcon", "gunicorn", "httptools", "numpy", "onnxruntime", "orjson", "tokenizers", "uvloop")


def runtime_system(precision: Precision) -> System:
    """The row of this checkout, on a bundle that its ``quantize.py`` builds."""

    def bundle(model: ModelFiles) -> Path:
        return bundle_of(model, precision)

    def prepare(model: ModelFiles) -> None:
        if not (bundle(model) / MANIFEST_FILE).is_file():
            build_bundle(sys.executable, model, precision, bundle(model))

    return runtime_on(f"its {precision} bundle", bundle, prepare)


def runtime_on(what: str, bundle: Callable[[ModelFiles], Path], prepare: Callable[[ModelFiles], None]) -> System:
    """The row of this checkout. ``what``: how reports call the bundles that ``prepare`` makes."""

    def launch(model: ModelFiles, port: int) -> Launch:
        return serve_bundle(RUNTIME_ENVIRONMENT, bundle(model), port)

    return System(
        name=CPU2VEC,
        about=f"this project's runtime on {what}",
        environment=RUNTIME_ENVIRONMENT,
        packages=RUNTIME_PACKAGES,
        prepare=prepare,
        launch=launch,
    )


def bundle_of(model: ModelFiles, precision: Precision) -> Path:
    """Where this checkout's bundle of a model is, once it is prepared."""
    return ROOT / default_output(model.model, None, precision, host_target())


def serve_bundle(environment: Path, bundle: Path, port: int, folder: Path = ROOT) -> Launch:
    """The runtime in ``folder``, with the packages of ``environment``."""
    settings = {"BUNDLE_DIR": str(bundle), "PORT": str(port), "LOG_LEVEL": "warning"}
    return Launch([python_in(environment), "-m", "runtime"], settings, folder)


def build_bundle(
    python: Path | str,
    model: ModelFiles,
    precision: Precision,
    output: Path,
    folder: Path = ROOT,
    options: Sequence[str] = (),
) -> None:
    """Let the ``quantize.py`` in ``folder`` build a bundle. Raises ``SetupFailed``."""
    name = model.directory.absolute() if model.source.kind is SourceKind.DIRECTORY else model.model
    command = [python, "quantize.py", name, "--precision", precision, "--output", output, *options]
    run(command, "the bundle cannot be built", folder=folder)
