"""Runs an OpenVINO model on one thread, tuned for latency."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from bench.models.engines.inputs import feed, join
from bench.models.rows import ONEDNN_LIMIT

SETTINGS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}


class Model:
    """Runs one text per call."""

    isa = "OpenVINO's choice"

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._names = [port.any_name for port in compiled.inputs]
        self._request = compiled.create_infer_request()

    def run(self, texts: list[list[int]]) -> NDArray[np.float32]:
        return join([self._run_text(text) for text in texts])

    def _run_text(self, text: list[int]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = self._request.infer(feed(self._names, text), share_inputs=True)[0][0]
        return output


def load(path: Path, isa: str | None) -> Model:
    """``path``: a model's .xml file. The environment limits the instruction sets, not ``isa``."""
    core = ov.Core()
    # NOTE: what is not int8 runs in bf16 where the CPU has it; under a limit there are no kernels for that.
    precision = {"INFERENCE_PRECISION_HINT": "f32"} if os.environ.get(ONEDNN_LIMIT) else {}
    return Model(core.compile_model(core.read_model(path), "CPU", {**SETTINGS, **precision}))
