"""Exports a network as an ONNX graph in fp32 that ends at token embeddings."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
import transformers
from optimum.exporters.onnx import onnx_export_from_model
from optimum.exporters.tasks import TasksManager

from build.errors import UnsupportedModel, first_line
from build.host.malloc import leave_imports_uncollected, release_free_memory
from build.model.families import Family
from build.model.trust import Trust

OPSET = 18
TASK = "feature-extraction"
EXPORTED = "model.onnx"
OUTPUT = "last_hidden_state"


def export(folder: Path, family: Family, work: Path, trust: Trust, code_cache: Path | None = None) -> Path:
    """Write ``model.onnx`` below ``work`` and return its path. Weights that are stored in 16 bits are widened to fp32.
    ``code_cache`` is that of ``ModelFiles``.

    Raises ``UnsupportedModel`` where transformers cannot load the weights as they are.
    """
    leave_imports_uncollected()
    network = _load(folder, family, trust, code_cache)
    target = work / "export"
    onnx_export_from_model(
        network,
        output=target,
        task=TASK,
        opset=OPSET,
        do_validation=False,
        custom_onnx_configs=_inputs_like(family.inputs_like, network) if family.inputs_like else None,
    )
    del network
    # PERF: the exporter leaves reference cycles, which would keep the weights during later stages.
    release_free_memory()
    return target / EXPORTED


def _load(folder: Path, family: Family, trust: Trust, code_cache: Path | None) -> Any:
    """Load the part of the family's network that is exported, in fp32."""
    try:
        loaded = getattr(transformers, family.network).from_pretrained(
            folder,
            dtype=torch.float32,
            # NOTE: eager attention leads to a graph without fixed lengths, which later stages recognize.
            attn_implementation="eager",
            local_files_only=True,
            use_safetensors=trust.use_safetensors,
            trust_remote_code=trust.remote_code,
            cache_dir=code_cache,
            # NOTE: networks that come with a model load their weights themselves, and cannot report what was missing.
            output_loading_info=not family.remote_code,
        )
    except Exception as error:  # NOTE: SafetensorError has no other base, and a malformed config can raise anything.
        raise UnsupportedModel(f"transformers cannot load the model: {first_line(error)}") from error
    network, loading = (loaded, {"missing_keys": []}) if family.remote_code else loaded
    if missing := sorted(name for name in loading["missing_keys"] if "pooler." not in name):
        raise UnsupportedModel(f"the weights lack {missing[0]}: the encoder is incomplete")
    part = attrgetter(family.part)(network) if family.part else network
    return part.float().eval()


def _inputs_like(model_type: str, network: Any) -> dict[str, Any]:
    """Return optimum's description of another family's inputs, for a network that optimum does not know."""
    describe = TasksManager.get_exporter_config_constructor(
        exporter="onnx", model_type=model_type, task=TASK, library_name="transformers"
    )
    return {"model": describe(network.config)}
