"""Collects garbage, and returns freed heap memory to the operating system, which glibc keeps by default."""

from __future__ import annotations

import ctypes
import gc


def release_free_memory() -> None:
    """Collect garbage and trim glibc's heap. Other C libraries have nothing to trim.

    Without this between stages, a build would need the sum of their memory at its peak.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def leave_imports_uncollected() -> None:
    """Keep collections of garbage from what exists at the first call, which must come before a model is loaded.

    PERF: else each goes through all that PyTorch and transformers have made, for a quarter of a second.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
