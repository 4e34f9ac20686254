"""Bundles of tiny CLIP models, made by the real pipeline, in fp32."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from build.pipeline import BuildOptions, build_bundle
from build.progress import Progress
from manifest import Precision, Target
from tests.support.bundles.cache import cached
from tests.support.models.tiny_clip import (
    make_metaclip,
    make_network,
    make_pair,
    make_sentence_model,
    make_siglip,
    make_siglip_2,
)

LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "transformers": make_network,
    "sentence-transformers": make_sentence_model,
    "pair": make_pair,
    "metaclip": make_metaclip,
    "siglip": make_siglip,
    "siglip 2": make_siglip_2,
}
"""The weights of the first two are the same, and vectors have unit length in the first one alone."""


def clip_model(layout: str) -> Path:
    """The model's directory. Not to be written to."""
    return cached(f"model-clip-{layout}", lambda output: LAYOUTS[layout](output))


def clip_bundle(layout: str) -> Path:
    """Not to be written to."""

    def make(output: Path) -> None:
        build_bundle(order_of(clip_model(layout), output), Progress(stream=io.StringIO()))

    return cached(f"clip-{layout}", make)


def order_of(directory: Path, output: Path) -> BuildOptions:
    """The build of the model, or of the pair of models, in a directory."""
    texts = directory / "texts"
    model, images = (texts, str(directory / "images")) if texts.exists() else (directory, None)
    return BuildOptions(str(model), None, Target.AMD64, Precision.FP32, output, force=False, image_model=images)
