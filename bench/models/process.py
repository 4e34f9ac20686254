"""Owns a worker: starts it in its engine's environment, hands it orders, and ends it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.errors import ModelFailed
from bench.models.rows import Spec
from bench.server.systems import ROOT

ENVIRONMENTS = {"onnxruntime": "runtime", "openvino": "openvino", "torch": "build"}

QUIET = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CI": "true", "NNCF_CI": "1"}
"""Neither asks nor tells anybody: OpenVINO's telemetry counts a program under CI as one that does not want to."""

END_SECONDS = 20.0


class Process:
    """Running from its making on. Every error is a ``ModelFailed`` that names the system.

    ``log``: once it has ended, what its libraries have written.
    """

    def __init__(self, spec: Spec, model: Path, core: int | None) -> None:
        self.name, self.log = spec.system.name, ""
        python = python_of(spec.system.engine)
        command = [python, "-m", "bench.models.engines.worker", spec.system.engine, model.absolute()]
        command += ["--isa", spec.isa] if spec.isa else []
        command += ["--core", str(core)] if core is not None else []
        command += ["--deny-amx"] if spec.deny_amx else []
        self._home = tempfile.TemporaryDirectory(prefix="bench-models-home-")
        self._log = Path(self._home.name) / "log"
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env={"PATH": os.defpath, "HOME": self._home.name, **QUIET, **dict(spec.environment)},
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

    def ask(self, do: str, **order: object) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise ModelFailed(f"{self.name}: the process ended: {self._last_words()}")
        answer = json.loads(line)
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

    def _last_words(self) -> str:
        self._process.wait(END_SECONDS)
        said = self._log.read_text(errors="replace").strip().splitlines()
        return said[-1] if said else f"status {self._process.returncode}"


def python_of(engine: str) -> Path:
    return ROOT / ".venv" / ENVIRONMENTS[engine] / "bin" / "python"
