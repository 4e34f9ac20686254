"""Runs an image tower in one engine, in a process of its own.

``python -m bench.clip.worker ENGINE MODEL [--core N] [--callers N]``, in the engine's environment, which may contain
nothing but numpy and the engine itself. Each line of standard input is a request, each line of standard output its
answer, both JSON objects. An answer with ``error`` is the last one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Run = Callable[[Vectors], Vectors]
"""(3, side, side) to (dim,). Any of the callers' threads may call it."""


def onnxruntime_tower(bundle: Path, callers: int) -> tuple[Run, int]:
    """As the runtime runs it, on one thread for each caller; and the side of its images."""
    from manifest import ClipModel, read_manifest
    from runtime.inference.image_engine import ImageEngine

    image = read_manifest(bundle).section_as(ClipModel).image
    engine = ImageEngine(bundle / image.graph.file, image.graph, 1)
    return (lambda pixels: engine.run(pixels, 1)), image.pixels.side


def openvino_tower(model: Path, callers: int) -> tuple[Run, int]:
    """Tuned for latency, on one thread for each caller; and the side of its images."""
    import openvino as ov

    core = ov.Core()
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
    threads = {"INFERENCE_NUM_THREADS": callers, "NUM_STREAMS": callers}
    compiled = core.compile_model(core.read_model(model), "CPU", {**settings, **threads})
    own = threading.local()

    def run(pixels: Vectors) -> Vectors:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        vectors: Vectors = own.request.infer([pixels[None]], share_inputs=True)[0]
        return vectors[0]

    return run, int(compiled.inputs[0].get_partial_shape()[2].get_length())


ENGINES = {"onnxruntime": onnxruntime_tower, "openvino": openvino_tower}


class Worker:
    """Answers requests."""

    def __init__(self, run: Run, side: int, callers: int) -> None:
        self._run, self._side, self._callers = run, side, callers

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """``time``: seconds for so many images on all threads. ``embed``: the vectors of so many images."""
        images = [pixels_of(self._side, number) for number in range(request["images"])]
        if request["do"] == "embed":
            return {"vectors": [self._run(image).tolist() for image in images]}
        with ThreadPoolExecutor(self._callers) as pool:
            list(pool.map(self._run, images[: self._callers]))  # PERF: not timed, because another process had the core
            start = time.perf_counter()
            list(pool.map(self._run, images))
            return {"seconds": time.perf_counter() - start}


def pixels_of(side: int, seed: int) -> Vectors:
    """A smooth picture as networks read it, (3, side, side): values have a mean of about 0."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(3, 8, 8))
    at = np.arange(side) * 8 // side
    smooth = coarse[:, at][:, :, at] + random.normal(scale=0.2, size=(3, side, side))
    return smooth.astype(np.float32)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.clip.worker", description="Run an image tower in an engine.")
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("model", type=Path, help="a bundle, or an OpenVINO model")
    parser.add_argument("--core", type=int, help="the only core to run on")
    parser.add_argument("--callers", type=int, default=1, help="so many threads run the model at once")
    options = parser.parse_args(arguments)
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})  # NOTE: before an engine is imported, because its threads inherit it
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        run, side = ENGINES[options.engine](options.model, options.callers)
        worker = Worker(run, side, options.callers)
        for line in sys.stdin:
            print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)
    except Exception as error:  # NOTE: the engines' exceptions share no base class below Exception.
        print(json.dumps({"error": f"{type(error).__name__}: {str(error)[:300]}"}), file=answers, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
