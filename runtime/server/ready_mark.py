"""Tells the master since when a worker is ready: a few bytes of memory that both processes have."""

from __future__ import annotations

import os
import struct
import time

MOMENT = struct.Struct("d")


class ReadyMark:
    """Made before the fork, set by the worker, read by the master. It needs no directory that can be written to."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.memfd_create("cpu2vec-ready"), "r+b", buffering=0)

    def set(self) -> None:
        """Say that the worker is ready from now on."""
        os.pwrite(self.fileno(), MOMENT.pack(time.monotonic()), 0)

    @property
    def ready_at(self) -> float | None:
        """When the worker became ready, in seconds of the monotonic clock; None if it has not been ready."""
        data = os.pread(self.fileno(), MOMENT.size, 0)
        return float(MOMENT.unpack(data)[0]) if data else None

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
