"""Runs an OpenVINO model on one thread, for latency; imports nothing of this project."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

SETTINGS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
LIMIT = "ONEDNN_MAX_CPU_ISA"
"""The variable of the environment that keeps it from wider instruction sets."""

INPUTS = {"input_ids": lambda ids: ids, "attention_mask": np.ones_like, "token_type_ids": np.zeros_like}


class Model:
    """One text a call."""

    isa = "OpenVINO's choice"

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._names = [port.any_name for port in compiled.inputs]
        self._request = compiled.create_infer_request()

    def run(self, texts: list[list[int]]) -> NDArray[np.float32]:
        outputs = [self._run_one(np.array([text], dtype=np.int64)) for text in texts]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def _run_one(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        feed = {name: INPUTS[name](ids) for name in self._names}
        return self._request.infer(feed, share_inputs=True)[0][0]


def load(path: Path, isa: str | None) -> Model:
    """``path``: the .xml of a model. What it may use is limited by the environment, not by ``isa``."""
    core = ov.Core()
    # NOTE: what is not int8 runs in bf16 where the CPU has that, and under a limit finds no kernels for it then.
    precision = {"INFERENCE_PRECISION_HINT": "f32"} if os.environ.get(LIMIT) else {}
    return Model(core.compile_model(core.read_model(path), "CPU", {**SETTINGS, **precision}))
