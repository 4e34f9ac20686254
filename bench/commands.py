"""Runs the commands that prepare a benchmark, and turns a failure into one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import SetupFailed
from build.paths import ROOT

Command = Sequence[str | Path]


def run(
    command: Command,
    failure: str,
    *,
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a command to its end; what it prints goes to standard error. ``environment``: in place of this process's.

    Raises ``SetupFailed``: ``failure`` and the last line that the command printed.
    """
    last = ""
    try:
        with subprocess.Popen(
            list(command),
            cwd=folder,
            env={"ORT_DISABLE_TELEMETRY": "1", **(os.environ if environment is None else environment)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    print(line, end="", file=sys.stderr, flush=True)
                    last = line.strip() or last
            except BaseException:
                process.terminate()
                raise
    except OSError as error:
        raise SetupFailed(f"{failure}: {error}") from None
    if process.returncode:
        raise SetupFailed(f"{failure}: {last or f'{command[0]} ended with status {process.returncode}'}")
