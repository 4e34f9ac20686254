"""Runs the build's programs as forks, for users of a hub on this machine.

Libraries read where the hub is, and where a user's files of it are, while they are imported: so all tests of a process
share an address, at which each runs a hub of its own, and a link, which leads to the files of the test that runs.
"""

from __future__ import annotations

import dataclasses
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from build.fidelity.runtime_process import free_port
from tests.support.programs.forks import Forks, Interpreter

PATIENT = {"HF_HUB_ETAG_TIMEOUT": "100", "HF_HUB_DOWNLOAD_TIMEOUT": "100"}
"""A busy machine must not look like a hub that does not answer."""


class HubForks:
    """As ``Forks``, with a hub at ``port``, which the caller runs."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.port = free_port()
        self._links = tempfile.TemporaryDirectory(prefix="homes-of-hub-forks-")
        self._link = Path(self._links.name) / "huggingface"
        self.variables = {"HF_ENDPOINT": f"http://127.0.0.1:{self.port}", "HF_HOME": str(self._link), **PATIENT}
        """What a program is told that is no fork."""
        environment = {**interpreter.environment, **self.variables, "HF_HUB_OFFLINE": "0"}
        self._forks = Forks(dataclasses.replace(interpreter, environment=environment))

    def set_home(self, directory: Path) -> None:
        """Where a user's files of the hub are from now on."""
        directory.mkdir(parents=True, exist_ok=True)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(directory)

    def run(self, command: Sequence[object], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return self._forks.run(command, {**self.variables, **environment})

    def close(self) -> None:
        self._forks.close()
        self._links.cleanup()
