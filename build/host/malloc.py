"""Gives memory that was freed back to the system, which the C library keeps else."""

from __future__ import annotations

import ctypes
import gc


def release_free_memory() -> None:
    """Between stages that hold much: without it, a build's peak is the sum of theirs. Does nothing without glibc."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
