"""Tells the user what is being done: one line a stage, with its time, to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Progress:
    """Plain lines anywhere; ``bars`` says whether stages may draw bars, which only a terminal can show."""

    def __init__(self, stages: int, stream: TextIO = sys.stderr) -> None:
        self._stages, self._stream, self._done = stages, stream, 0

    @property
    def bars(self) -> bool:
        return self._stream.isatty()

    @contextmanager
    def stage(self, name: str, detail: str) -> Iterator[None]:
        """Announce a stage, and say how long it took if it ends well."""
        self._done += 1
        self._write(f"[{self._done}/{self._stages}] {name}: {detail}")
        started = time.monotonic()
        yield
        self._write(f"[{self._done}/{self._stages}] {name}: done in {time.monotonic() - started:.1f} s")

    def _write(self, line: str) -> None:
        print(line, file=self._stream, flush=True)
