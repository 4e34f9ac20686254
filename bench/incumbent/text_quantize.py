"""Exports a model and quantizes it with optimum's preset for AVX2: the model that the incumbent serves."""

from __future__ import annotations

import sys
from pathlib import Path

from optimum.onnxruntime import ORTModelForFeatureExtraction, ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig
from transformers import AutoTokenizer


def quantize(source: Path, output: Path) -> None:
    """Write model.onnx, model_quantized.onnx, the configuration and the tokenizer to ``output``."""
    ORTModelForFeatureExtraction.from_pretrained(source, export=True).save_pretrained(output)
    AutoTokenizer.from_pretrained(source).save_pretrained(output)
    preset = AutoQuantizationConfig.avx2(is_static=False, per_channel=False)
    ORTQuantizer.from_pretrained(output, file_name="model.onnx").quantize(preset, save_dir=output)


if __name__ == "__main__":
    quantize(Path(sys.argv[1]), Path(sys.argv[2]))
