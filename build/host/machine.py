"""This machine: its architecture, and the instruction sets that the native kernels can use on it."""

from __future__ import annotations

import ctypes
from pathlib import Path

from manifest import Target


def host_target() -> Target:
    """Return this machine's architecture; amd64 for any other, which ``host/check.py`` refuses to set up."""
    return Target.of_machine() or Target.AMD64


def instruction_sets(library: Path) -> tuple[str, ...]:
    """Return what the kernels in ``library`` can use here, the best one first.

    docs/kernels.md, "Which instruction set runs", lists them.
    """
    kernels = ctypes.CDLL(str(library))
    kernels.cpu2vec_kernels_available.restype = ctypes.c_char_p
    names: bytes = kernels.cpu2vec_kernels_available()
    return tuple(names.decode().split(","))
