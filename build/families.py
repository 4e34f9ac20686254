"""Lists the model families that a build reproduces exactly: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from build.errors import RemoteCodeNeeded, UnsupportedModel

ENCODER_CLASSES = ("Model", "ForMaskedLM", "ForPreTraining")
"""Endings of a config's architecture that stand for the plain encoder; heads of these classes are left out."""


def _all_positions(config: dict[str, Any]) -> int:
    return int(config["max_position_embeddings"])


def _positions_after_padding(config: dict[str, Any]) -> int:
    """These families number positions from the padding token's id + 1 on (fairseq's habit)."""
    return int(config["max_position_embeddings"]) - int(config.get("pad_token_id", 1)) - 1


@dataclass(frozen=True)
class Family:
    """``model_type`` and ``prefix`` are transformers' names for it; ``positions``: the most tokens of a text."""

    model_type: str
    prefix: str
    positions: Callable[[dict[str, Any]], int]


FAMILIES = (
    Family("bert", "Bert", _all_positions),
    Family("distilbert", "DistilBert", _all_positions),
    Family("roberta", "Roberta", _positions_after_padding),
    Family("xlm-roberta", "XLMRoberta", _positions_after_padding),
    Family("mpnet", "MPNet", _positions_after_padding),
)


def family_of(config: dict[str, Any], trust_remote_code: bool) -> Family:
    """The row for a model's config. Raises ``RemoteCodeNeeded``; ``UnsupportedModel`` names the architecture."""
    if "auto_map" in config and not trust_remote_code:
        raise RemoteCodeNeeded(
            "the model brings its own Python code, which would run on this machine: read it, and if you trust it, "
            "pass --trust-remote-code"
        )
    architecture = next(iter(config.get("architectures") or []), None)
    for family in FAMILIES:
        if config.get("model_type") == family.model_type:
            known = {family.prefix + ending for ending in ENCODER_CLASSES}
            if architecture is None or architecture in known:
                return family
    supported = ", ".join(family.prefix for family in FAMILIES)
    name = architecture or config.get("model_type") or "none named in config.json"
    raise UnsupportedModel(f"the architecture {name} is not supported; supported encoders: {supported}")
