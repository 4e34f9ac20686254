"""The tie between a process and the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
"""``prctl``'s operation, of linux/prctl.h."""


def end_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM to this process once its parent has ended, however it ended.

    ``parent``: the parent's process id, as the parent knew it before it started this process. If the parent has ended
    already, this process gets the signal now. Raises ``OSError`` where the kernel refuses.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), *(ctypes.c_ulong(0) for _ in range(3))) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    if os.getppid() != parent:
        signal.raise_signal(signal.SIGTERM)
