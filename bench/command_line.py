"""What the benchmarks' command lines have in common: numbers, progress lines, how they end."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

Number = TypeVar("Number", int, float)


class Stopwatch:
    """Progress lines on standard error, each with the time since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def say(self, line: str) -> None:
        print(f"[{time.monotonic() - self._started:5.0f} s] {line}", file=sys.stderr, flush=True)


def positive(kind: type[Number]) -> Callable[[str], Number]:
    """Reads an argument that must be more than 0."""

    def parse(text: str) -> Number:
        value = kind(text)
        if not 0 < value < 1e6:
            raise argparse.ArgumentTypeError(f"{text} must be more than 0")
        return value

    return parse


def interrupt_on_terminate() -> None:
    """From now on SIGTERM does what Ctrl-C does."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def fail(message: str, status: int) -> int:
    """The ``status``, after the message has been told."""
    print(f"bench: {message}", file=sys.stderr)
    return status
