"""Lists the networks of texts and images that a build can reproduce: one row holds what tells them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """What a build has to know about the models of one ``model_type``."""

    config: str
    """The class of transformers that reads a config."""
    network: str
    """The class that runs the network."""
    normalizes: bool
    """Whether vectors get unit length where transformers' own layout is served."""
    pads: bool
    """Whether a text is padded to the limit, and its vector read from the last position, padding or not."""
    projection: str
    """Of texts, after pooling: what the names of its tensors begin with."""
    projection_bias: bool
    dims: Callable[[Any], tuple[int, int]]
    """How many numbers a text's and an image's vector has, by the config."""
    processor: str
    """The image processor's name. A file may have it with ``Fast`` behind it."""


def _projected(config: Any) -> tuple[int, int]:
    return config.projection_dim, config.projection_dim


def _pooled(config: Any) -> tuple[int, int]:
    return config.text_config.projection_size, config.vision_config.hidden_size


CLIP = "clip"

ARCHITECTURES = {
    CLIP: Architecture(
        "CLIPConfig",
        "CLIPModel",
        normalizes=True,
        pads=False,
        projection="text_projection",
        projection_bias=False,
        dims=_projected,
        processor="CLIPImageProcessor",
    ),
    "metaclip_2": Architecture(
        "MetaClip2Config",
        "MetaClip2Model",
        normalizes=True,
        pads=False,
        projection="text_projection",
        projection_bias=False,
        dims=_projected,
        processor="CLIPImageProcessor",
    ),
    "siglip": Architecture(
        "SiglipConfig",
        "SiglipModel",
        normalizes=False,
        pads=True,
        projection="text_model.head",
        projection_bias=True,
        dims=_pooled,
        processor="SiglipImageProcessor",
    ),
}
"""By model type. SigLIP 2 has that of SigLIP where images have one size."""
