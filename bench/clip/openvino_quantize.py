"""Quantizes the ONNX graph of an image tower with NNCF after training, as its documentation describes for transformers.

``python -m bench.clip.openvino_quantize MODEL.onnx SIDE IMAGES OUTPUT.xml``, in OpenVINO's environment.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import nncf
import openvino as ov

from bench.clip.worker import pixels_of

FIRST_SEED = 1000
"""Of the images that are read; none of them is timed or compared."""


def quantize(source: Path, side: int, images: int, output: Path) -> None:
    """Use NNCF's defaults for everything but the number of images."""
    nncf.set_log_level(logging.ERROR)
    model = ov.Core().read_model(source)
    dataset = nncf.Dataset([pixels_of(side, FIRST_SEED + number)[None] for number in range(images)])
    quantized = nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=images)
    quantized.reshape([1, 3, side, side])
    ov.save_model(quantized, output, compress_to_fp16=False)


if __name__ == "__main__":
    quantize(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
