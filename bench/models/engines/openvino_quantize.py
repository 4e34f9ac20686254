"""Quantizes an ONNX graph with NNCF after training, as NNCF's documentation describes for transformers.

``python -m bench.models.engines.openvino_quantize MODEL.onnx IDS.json OUTPUT.xml``, in OpenVINO's environment.
IDS.json contains the calibration texts: token ids, and null or the types of a pair's tokens.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import nncf
import openvino as ov

from bench.models.engines.inputs import Text, feed


def quantize(source: Path, ids: Path, output: Path) -> None:
    """Use all texts, and NNCF's defaults for everything else."""
    nncf.set_log_level(logging.ERROR)
    model = ov.Core().read_model(source)
    names = [port.any_name for port in model.inputs]
    texts = [feed(names, Text(*text)) for text in json.loads(ids.read_text())]
    dataset = nncf.Dataset(texts)
    quantized = nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(texts))
    ov.save_model(quantized, output, compress_to_fp16=False)


if __name__ == "__main__":
    quantize(*(Path(argument) for argument in sys.argv[1:]))
