"""How long the ops of a load's texts take without a server, in a process of their own."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

from bench.commands import Command
from bench.environment import RUNTIME_ENVIRONMENT, python_in
from bench.errors import SetupFailed
from bench.load.loads import Group, Load
from bench.load.texts import Length
from bench.server.runtime import bundle_of
from bench.text.systems import PRECISION
from build.model.files import ModelFiles
from build.paths import ROOT


def ops_milliseconds(model: ModelFiles, load: Load, cores: int) -> float | None:
    """CPU time of the ops for each request; None for loads in which requests are lost. Raises ``SetupFailed``."""
    if load.group not in (Group.KEPT, Group.BATCHES):
        return None
    return load.texts * milliseconds_of(bundle_of(model, PRECISION), load.length, texts_per_run(load, cores))


def milliseconds_of(bundle: Path, length: Length, texts_per_run: int) -> float:
    """CPU time of the ops for each text. Raises ``SetupFailed``."""
    numbers = (str(length.low), str(length.high), str(texts_per_run))
    command: Command = [python_in(RUNTIME_ENVIRONMENT), "-m", "bench.text.ops_alone", bundle, *numbers]
    try:
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise SetupFailed(f"the ops cannot be run alone: {error.stderr.strip().splitlines()[-1]}") from None
    return float(finished.stdout)


def texts_per_run(load: Load, cores: int) -> int:
    """The most that a thread finds: its share of what is in flight."""
    return math.ceil(load.in_flight * load.texts / cores)
