"""Runs an OpenVINO model on one thread for each caller, tuned for latency."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from bench.models.engines.inputs import Text, feed, join
from bench.models.rows import ONEDNN_LIMIT

SETTINGS = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}


class Model:
    """Runs one text per call."""

    isa = "OpenVINO's choice"

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._names = [port.any_name for port in compiled.inputs]
        self._compiled, self._own = compiled, threading.local()

    def run(self, texts: list[Text]) -> NDArray[np.float32]:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        return join([self._run_text(text) for text in texts])

    def embed(self, text: Text) -> NDArray[np.float32]:
        return self.run([text])

    def _run_text(self, text: Text) -> NDArray[np.float32]:
        output: NDArray[np.float32] = self._own.request.infer(feed(self._names, text), share_inputs=True)[0][0]
        return output


def load(path: Path, isa: str | None, callers: int) -> Model:
    """``path``: a model's .xml file. The environment limits the instruction sets, not ``isa``."""
    core = ov.Core()
    # NOTE: what is not int8 runs in bf16 where the CPU has it; under a limit there are no kernels for that.
    precision = {"INFERENCE_PRECISION_HINT": "f32"} if os.environ.get(ONEDNN_LIMIT) else {}
    threads = {"INFERENCE_NUM_THREADS": callers, "NUM_STREAMS": callers}
    return Model(core.compile_model(core.read_model(path), "CPU", {**SETTINGS, **threads, **precision}))
