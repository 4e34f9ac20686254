"""What the benchmarks' command lines share: options, interrupts, exit statuses."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

Number = TypeVar("Number", int, float)


def parser_for(program: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """A parser that prints ``epilog`` as it is."""
    return argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def positive(kind: type[Number]) -> Callable[[str], Number]:
    """A parser of numbers above 0, for argparse's ``type``."""

    def parse(text: str) -> Number:
        value = kind(text)
        if not 0 < value < 1e6:
            raise argparse.ArgumentTypeError(f"must be more than 0 and less than a million, not {text}")
        return value

    parse.__name__ = {int: "whole number", float: "number"}[kind]  # argparse names it where the text is no number
    return parse


def interrupt_on_terminate() -> None:
    """Let SIGTERM do what Ctrl-C does."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def fail(message: str, status: int) -> int:
    """Print the message, and return the ``status``."""
    print(f"bench: {message}", file=sys.stderr)
    return status
