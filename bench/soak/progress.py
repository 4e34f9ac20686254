"""Tells how a soak goes: on a terminal in one line that changes, elsewhere in a line every half minute."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from bench.report.statistics import percentile
from bench.soak.callers.load import Callers
from bench.soak.fleet import Fleet
from bench.soak.observer import look

LINE_SECONDS = 30.0
RECENT_SECONDS = 10.0
"""Rates and percentiles on the line are those of this time."""

CLEAR = "\r\x1b[K"


class Progress:
    """Writes to ``stream``; from one thread at a time but for ``show``, which may come from another."""

    def __init__(self, seconds: float, stream: TextIO = sys.stderr) -> None:
        """``seconds``: how long the load will last."""
        self._seconds, self._stream = seconds, stream
        self._is_terminal = stream.isatty()
        self._began = time.monotonic()
        self._shown_at = float("-inf")
        self._line = ""

    def log(self, line: str) -> None:
        """A line that stays."""
        clear = CLEAR if self._line else ""
        self._write(f"{clear}[{time.monotonic() - self._began:5.0f} s] {line}\n{self._line}")

    def show(self, fleet: Fleet, callers: Callers, start: float) -> None:
        """How it goes now. ``start``: of the load, by ``time.perf_counter``."""
        now = time.monotonic()
        if not self._is_terminal and now < self._shown_at + LINE_SECONDS:
            return
        self._shown_at = now
        line = self._describe(fleet, callers, start)
        if self._is_terminal:
            self._line = line
            self._write(CLEAR + line)
        else:
            self.log(line)

    def close(self) -> None:
        """Leave the line that changes."""
        if self._line:
            self._line = ""
            self._write("\n")

    def _describe(self, fleet: Fleet, callers: Callers, start: float) -> str:
        elapsed = time.perf_counter() - start
        tally = callers.loop.tally
        moments, latencies = list(tally.answered_at), list(tally.latencies)
        recent = [
            latency for at, latency in zip(moments, latencies, strict=False) if at > start + elapsed - RECENT_SECONDS
        ]
        seen = [found for life in fleet.running if (found := look(life)) is not None]
        parts = [
            f"{elapsed:.0f} of {self._seconds:.0f} s",
            f"{len(recent) / max(1e-9, min(RECENT_SECONDS, elapsed)):.0f}/s",
            f"p99 {percentile(recent, 99):.1f} s" if recent else "no answers",
            f"RSS {' + '.join(f'{each.rss_mb:.0f}' for each in seen)} MB",
            f"{sum(each.descriptors for each in seen)} descriptors",
            f"{len(callers.losses)} without an answer",
        ]
        return ", ".join(parts)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
