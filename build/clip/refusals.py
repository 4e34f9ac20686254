"""Refuses by name what reads texts and images and cannot be reproduced, and says what to take instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from build.clip.architectures import ARCHITECTURES
from build.command_line import alternatives
from build.errors import UnsupportedModel
from build.model.files import CONFIG

TOWERS = ("text_config", "vision_config")
"""A config with both is that of a network of texts and images."""

INSTEAD = {
    "siglip2": "it is SigLIP 2 for images of any proportions (NaFlex): take one whose images have one size, such as "
    "google/siglip2-base-patch16-224",
    "modernvbert": "it is ModernVBERT: take a model of another network, such as google/siglip2-base-patch16-224",
}
"""What to say of well-known networks, by model type."""


def reads_both(config: Mapping[str, Any]) -> bool:
    """Whether a config is that of a network of texts and images, supported or not."""
    return str(config.get("model_type")) in {*ARCHITECTURES, *INSTEAD} or all(
        isinstance(config.get(name), Mapping) for name in TOWERS
    )


def refuse_network(config: Mapping[str, Any], types: tuple[str, ...]) -> None:
    """Raise ``UnsupportedModel`` for a network of another model type than ``types``, or one that brings code."""
    model_type = str(config.get("model_type"))
    if config.get("auto_map"):
        raise UnsupportedModel(
            f"{CONFIG}: the model brings its own code (auto_map), which no build runs for texts and images: take one "
            f"whose model_type is {alternatives(types)}, without code"
        )
    if model_type not in types:
        reason = INSTEAD.get(model_type, f"it must be {alternatives(types)}")
        raise UnsupportedModel(f"{CONFIG}: the model_type {model_type} is not supported; {reason}")
