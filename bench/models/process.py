"""A worker process: starts it in its engine's environment, sends it requests, and ends it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.environment import BUILD_ENVIRONMENT, OPENVINO_ENVIRONMENT, RUNTIME_ENVIRONMENT, python_in
from bench.errors import ModelFailed
from bench.models.rows import Spec
from build.paths import ROOT

ENGINE_ENVIRONMENTS = {
    "onnxruntime": RUNTIME_ENVIRONMENT,
    "openvino": OPENVINO_ENVIRONMENT,
    "torch": BUILD_ENVIRONMENT,
}

QUIET = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CI": "true", "NNCF_CI": "1"}
"""With these variables no library sends anything out: OpenVINO's telemetry takes CI for a refusal."""

END_SECONDS = 20.0


class WorkerProcess:
    """A worker process that runs from its creation on. Every error is a ``ModelFailed`` that calls it ``name``.

    ``log``: what its libraries have written; set once it has ended.
    """

    def __init__(self, name: str, engine: str, module: Sequence[str], variables: Mapping[str, str]) -> None:
        """``engine``: in whose environment it runs. ``module``: to be run, with its arguments."""
        self.name, self.log = name, ""
        python = python_in(ENGINE_ENVIRONMENTS[engine])
        self._home = tempfile.TemporaryDirectory(prefix="bench-models-home-")
        self._log = Path(self._home.name) / "log"
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [str(python), "-m", *module],
                    cwd=ROOT,
                    env={"PATH": os.defpath, "HOME": self._home.name, **QUIET, **variables},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        except OSError as error:
            self._home.cleanup()
            raise ModelFailed(f"{self.name}: {python} cannot be started ({error}): run `make setup`") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def ask(self, do: str, **parameters: object) -> Mapping[str, Any]:
        """Send a request, and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **parameters}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise ModelFailed(f"{self.name}: the process ended: {self._last_line()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ModelFailed(f"{self.name}: {answer['error']}")
        return answer

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):  # it has ended before
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self.log = self._log.read_text(errors="replace")
        self._home.cleanup()

    def _last_line(self) -> str:
        self._process.wait(END_SECONDS)
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"status {self._process.returncode}"


class Process(WorkerProcess):
    """Runs the system of ``spec`` on a model."""

    def __init__(self, spec: Spec, model: Path, core: int | None) -> None:
        module = ["bench.models.engines.worker", *_arguments(spec, model, core)]
        super().__init__(spec.system.name, spec.system.engine, module, dict(spec.environment))


def _arguments(spec: Spec, model: Path, core: int | None) -> list[str]:
    arguments = [spec.system.engine, str(model.absolute())]
    arguments += ["--isa", spec.isa] if spec.isa else []
    arguments += ["--core", str(core)] if core is not None else []
    arguments += ["--callers", str(spec.callers)] if spec.callers > 1 else []
    return [*arguments, "--deny-amx"] if spec.deny_amx else arguments
