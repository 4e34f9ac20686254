"""Quantizes an ONNX graph with NNCF, after training, as its documentation has it for transformers.

``python -m bench.models.engines.openvino_quantize MODEL.onnx IDS.json OUTPUT.xml``; IDS.json holds the calibration
texts' token ids. Runs in OpenVINO's environment and imports nothing of this project.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import nncf
import numpy as np
import openvino as ov

INPUTS = {"input_ids": lambda ids: ids, "attention_mask": np.ones_like, "token_type_ids": np.zeros_like}


def quantize(source: Path, ids: Path, output: Path) -> None:
    """All texts are used; all else is left as NNCF sets it."""
    nncf.set_log_level(logging.ERROR)
    model = ov.Core().read_model(source)
    names = [port.any_name for port in model.inputs]
    texts = [np.array([text], dtype=np.int64) for text in json.loads(ids.read_text())]
    dataset = nncf.Dataset([{name: INPUTS[name](text) for name in names} for text in texts])
    quantized = nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(texts))
    ov.save_model(quantized, output, compress_to_fp16=False)


if __name__ == "__main__":
    quantize(*(Path(argument) for argument in sys.argv[1:]))
