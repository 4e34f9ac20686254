"""Third stage: the model as an ONNX graph in fp32 that ends at token embeddings."""

from __future__ import annotations

from pathlib import Path

import torch
from optimum.exporters.onnx import onnx_export_from_model
from transformers import AutoModel

from build.errors import UnsupportedModel, first_line

OPSET = 18
EXPORTED = "model.onnx"
OUTPUT = "last_hidden_state"


def export(directory: Path, work: Path, trust_remote_code: bool) -> Path:
    """Write ``model.onnx`` below ``work`` and return its path. Weights stored in 16 bits are widened to fp32.

    Raises ``UnsupportedModel`` where transformers cannot load the weights as they are.
    """
    try:
        model, loading = AutoModel.from_pretrained(
            directory,
            dtype=torch.float32,
            # NOTE: the plain form of attention gives a graph without baked-in lengths that later stages recognize.
            attn_implementation="eager",
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except Exception as error:  # NOTE: safetensors' error has no other base, and a malformed config gives any.
        raise UnsupportedModel(f"transformers cannot load the model: {first_line(error)}") from error
    if missing := sorted(name for name in loading["missing_keys"] if not name.startswith("pooler.")):
        raise UnsupportedModel(f"the weights lack {missing[0]}, which would be random: not a complete encoder")
    target = work / "export"
    onnx_export_from_model(model, output=target, task="feature-extraction", opset=OPSET, do_validation=False)
    return target / EXPORTED
