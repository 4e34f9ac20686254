"""Reports what a build is doing, and silences what its libraries say meanwhile."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO


class Progress:
    """Prints one line when a stage begins and one when it is done, with the time that it took."""

    def __init__(self, stages: Sequence[str] = (), stream: TextIO = sys.stderr) -> None:
        """``stages``: the names of all stages, if they are known from the start."""
        self._stages, self._stream = tuple(stages), stream
        self._begun: list[str] = []

    @property
    def bars(self) -> bool:
        """Whether stages may draw progress bars, which only a terminal can show."""
        return self._stream.isatty()

    def expect(self, stages: Sequence[str]) -> None:
        """Name the stages that are still to come, so that lines say how many there are."""
        self._stages = (*self._begun, *stages)

    def count(self, done: str, number: int, total: int) -> None:
        """Show how many of the items of a stage are done, in one line that is written over, on a terminal alone."""
        if self.bars:
            print(f"\r{done} {number} of {total}", end="\n" if number == total else "", file=self._stream, flush=True)

    @contextmanager
    def stage(self, name: str, detail: str) -> Iterator[None]:
        """Announce a stage, and report how long it took if it succeeds."""
        self._begun.append(name)
        heading = f"{self._position(name)} {name}:"
        self._write(f"{heading} {detail}")
        started = time.monotonic()
        yield
        self._write(f"{heading} done in {time.monotonic() - started:.1f} s")

    def _position(self, name: str) -> str:
        if not self._stages:
            return f"[{len(self._begun)}]"
        return f"[{self._stages.index(name) + 1}/{len(self._stages)}]"

    def _write(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


@contextmanager
def silence_libraries() -> Iterator[None]:
    """Suppress the libraries' log lines, warnings and bars. Bars that a stage draws itself are not affected."""
    root, silent = logging.getLogger(), logging.NullHandler()
    disabled = root.manager.disable
    # NOTE: without a handler on the root, a library's logging.warning() would install one on standard error for good.
    root.addHandler(silent)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from transformers.utils import logging as transformers_logging

            transformers_logging.disable_progress_bar()
            yield
    finally:
        logging.disable(disabled)
        root.removeHandler(silent)
