"""Starts the real runtime on a bundle as a process of its own, and asks it for vectors over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from build.command_line import interruptions_deferred
from build.errors import ContainerFailed, SetupIncomplete, VerificationFailed
from build.fidelity.client import VectorsClient
from build.fidelity.requests import VectorRequest
from build.paths import ROOT
from manifest import Task

RUNTIME_PYTHON = ROOT / ".venv" / "runtime" / "bin" / "python"
START_SECONDS = 300.0
STOP_SECONDS = 20.0
REQUEST_SECONDS = 300.0

AS_THE_ORIGINAL = {"LONG_TEXT": "truncate"}
"""Settings under which a text of any length has the original's vector."""


class RuntimeClient:
    """One keep-alive connection to a runtime on this machine."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self._client = VectorsClient("the runtime", self.address, seconds=REQUEST_SECONDS)

    def is_ready(self) -> bool:
        return self._client.is_ready()

    def close(self) -> None:
        self._client.close()

    def embed(self, text: str, task: Task | None = None, prompt_name: str | None = None) -> NDArray[np.float32]:
        """The served vector, (dim,). Raises ``VerificationFailed`` where there is none."""
        try:
            return self._client.embed(VectorRequest(text, task, prompt_name).body)
        except ContainerFailed as error:
            raise VerificationFailed(str(error)) from None


@contextmanager
def serve(bundle: Path, settings: Mapping[str, str] = AS_THE_ORIGINAL) -> Iterator[RuntimeClient]:
    """A ready runtime on a free port, stopped at the end. ``settings``: more variables of its environment.

    Raises ``SetupIncomplete`` or ``VerificationFailed``.
    """
    if not RUNTIME_PYTHON.exists():
        raise SetupIncomplete("the runtime's environment, which checks the bundle, is missing: run `make setup`")
    port = free_port()
    with tempfile.TemporaryFile() as log:
        environment = {
            "PATH": os.defpath,
            "BUNDLE_DIR": str(bundle.absolute()),
            "PORT": str(port),
            "LOG_LEVEL": "warning",
            "DRAIN_SECONDS": "0",  # PERF: its only client asks for nothing more.
            **settings,
        }
        client = RuntimeClient(port)
        process: subprocess.Popen[bytes] | None = None
        try:
            with interruptions_deferred():
                process = subprocess.Popen(
                    [RUNTIME_PYTHON, "-m", "runtime"],
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            deadline = time.monotonic() + START_SECONDS
            while not client.is_ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise VerificationFailed(f"the runtime does not serve the bundle: {_last_line(log)}")
                time.sleep(0.05)
            yield client
        finally:
            client.close()
            if process is not None:
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A TCP port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote no reason"
