"""Returns freed heap memory to the operating system, which glibc keeps by default."""

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
