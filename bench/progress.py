"""Prints progress lines on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

Log = Callable[[str], None]
"""A ``Log`` takes one line about what happens now."""


class Stopwatch:
    """Prefixes each progress line with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def log(self, line: str) -> None:
        print(f"[{time.monotonic() - self._start:5.0f} s] {line}", file=sys.stderr, flush=True)
