"""What a kind of model brings to the benchmark: models, systems, loads, and the original."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.load.loads import Group, Load
from bench.server.system import System
from build.model.files import ModelFiles
from manifest import Precision

Original = Callable[[Path, list[str]], NDArray[np.float32]]
"""What the original in a directory makes of texts: (texts, dim)."""


@dataclass(frozen=True)
class BenchKind:
    """One value of ``--kind``."""

    name: str
    about: str
    model: Callable[[], ModelFiles]
    """Finds the model, or makes it, which may take a minute. Raises ``BenchError`` or ``BuildError``."""
    precision: Precision
    """That of this project's bundle."""
    systems: tuple[System, ...]
    loads: tuple[Load, ...]
    """In the order in which they are run."""
    default_groups: tuple[Group, ...]
    """The loads that are run unless others are asked for."""
    original: Original
