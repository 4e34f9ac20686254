"""Measures what one run takes beside the weights: ``python -m bench.models.working_memory BUNDLE [TOKENS …]``.

The figure to compare with is the one that the bundle's manifest states, by which the server sizes its windows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from build.fidelity.runtime_process import ROOT, RUNTIME_PYTHON
from manifest import BundleError, TextModel, read_manifest

LENGTHS = (128, 512, 2048)

PROGRAM = """
import sys, threading
from pathlib import Path
from manifest import TextModel, read_manifest
from runtime.inference.engine import open_engine
from runtime.inference.native_ops import load_native_ops
from runtime.inference.token_batch import TokenBatch

directory, tokens = Path(sys.argv[1]), int(sys.argv[2])
model = read_manifest(directory).section_as(TextModel)
graph = model.graphs[model.main_encoder.graph]
engine = open_engine(directory / graph.file, graph, 1, load_native_ops([graph.ops]))
done, peak = threading.Event(), 0

def anonymous():
    line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024

def watch():
    global peak
    while not done.wait(0.001):
        peak = max(peak, anonymous())

engine.run(TokenBatch.of([5] * 8), 1)
before = anonymous()
watcher = threading.Thread(target=watch)
watcher.start()
for _ in range(2):
    engine.run(TokenBatch.of([5 + n % 50 for n in range(tokens)]), 1)
done.set()
watcher.join()
print(peak - before, anonymous() - before)
"""
"""Runs in the runtime's environment, in a process of its own for each length. Twice, because onnxruntime may take more
for a length that it has seen before; sampled every millisecond."""


def main(arguments: list[str]) -> int:
    """Print a row for each length: at the peak, after the run, and as the manifest states it; in MB."""
    parser = argparse.ArgumentParser(prog="python -m bench.models.working_memory", description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="a bundle that quantize.py made")
    parser.add_argument("tokens", type=int, nargs="*", default=LENGTHS, help="lengths of texts (default: 128 512 2048)")
    options = parser.parse_args(arguments)
    try:
        encoder = read_manifest(options.bundle).section_as(TextModel).main_encoder
    except BundleError as error:
        parser.exit(1, f"bench: {error}\n")
    print("| tokens | MB at the peak | MB kept | MB as stated |\n| ---: | ---: | ---: | ---: |")
    for tokens in options.tokens or LENGTHS:
        if tokens > encoder.max_tokens:
            parser.exit(1, f"bench: {tokens} tokens are more than the model's {encoder.max_tokens}\n")
        peak, kept = _measure(options.bundle, tokens)
        print(f"| {tokens} | {peak / 1e6:.1f} | {kept / 1e6:.1f} | {encoder.memory.of(tokens) / 1e6:.1f} |", flush=True)
    return 0


def _measure(bundle: Path, tokens: int) -> tuple[int, int]:
    ran = subprocess.run(
        [RUNTIME_PYTHON, "-c", PROGRAM, bundle.absolute(), str(tokens)],
        cwd=ROOT,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    peak, kept = ran.stdout.split()
    return int(peak), int(kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
