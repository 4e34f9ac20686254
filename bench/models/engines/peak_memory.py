"""Measures the memory of one run in a process of its own, in the runtime's environment.

``python -m bench.models.engines.peak_memory BUNDLE TOKENS`` prints two numbers of bytes beyond what the process had
before: at the peak of the run, and after it.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from manifest import TextModel, read_manifest
from runtime.inference.engine import open_engine
from runtime.inference.native_ops import load_native_ops
from runtime.inference.token_batch import TokenBatch

STATUS = Path("/proc/self/status")
KILOBYTE = 1024
SAMPLE_SECONDS = 0.001

FIRST_ID, IDS = 5, 50
"""These ids are in every vocabulary. Which ids a text has does not change the memory."""


def anonymous_bytes() -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * KILOBYTE


class PeakWatch(threading.Thread):
    """Samples this process's anonymous memory until it is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self._stopped = threading.Event()
        self._peak = 0

    def run(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, anonymous_bytes())

    def stop(self) -> int:
        """The peak in bytes."""
        self._stopped.set()
        self.join()
        return self._peak


def measure(bundle: Path, tokens: int) -> tuple[int, int]:
    """Two runs, because onnxruntime may take more for a length that it has seen before."""
    model = read_manifest(bundle).section_as(TextModel)
    graph = model.graphs[model.main_encoder.graph]
    engine = open_engine(bundle / graph.file, graph, 1, load_native_ops([graph.ops]))
    engine.run(TokenBatch.of([FIRST_ID] * 8), 1)
    before = anonymous_bytes()
    watch = PeakWatch()
    watch.start()
    for _ in range(2):
        engine.run(TokenBatch.of([FIRST_ID + index % IDS for index in range(tokens)]), 1)
    peak, kept = watch.stop(), anonymous_bytes()
    # NOTE: the last sample may be older than the last allocation.
    return max(peak, kept) - before, kept - before


if __name__ == "__main__":
    print(*measure(Path(sys.argv[1]), int(sys.argv[2])))
