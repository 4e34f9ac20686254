"""What a kind of model brings to the benchmark: models with their loads, systems, and the original."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.load.loads import Group, Load
from bench.server.fidelity import Original
from bench.server.system import System
from build.model.files import ModelFiles
from manifest import Precision


@dataclass(frozen=True)
class BenchModel:
    """A model that the systems of a kind are measured on."""

    name: str
    files: Callable[[], ModelFiles]
    """Finds the model, or makes it, which may take a minute. Raises ``BenchError`` or ``BuildError``."""
    loads: tuple[Load, ...]
    """In the order in which they are run."""


OpsTime = Callable[[ModelFiles, Load, int], float | None]
"""Milliseconds of CPU time for each request of a load that the model's ops take alone, on a machine of so many cores.
None where that says nothing. Raises ``BenchError``."""


@dataclass(frozen=True)
class BenchKind:
    """One value of ``--kind``."""

    name: str
    about: str
    models: tuple[BenchModel, ...]
    """In the order in which they are measured."""
    precision: Precision
    """That of this project's bundle."""
    systems: tuple[System, ...]
    default_groups: tuple[Group, ...]
    """The loads that are run unless others are asked for."""
    original: Callable[[Path], Original]
    """From a model's directory."""
    build_options: tuple[str, ...] = ()
    """What the ``quantize.py`` of another checkout is told beside the model and the precision."""
    ops: OpsTime | None = None
    """None where a model has no ops that could be told from the rest."""
