"""Lists the model families that a build reproduces exactly: one row each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from build.errors import ModelNotFound, RemoteCodeNeeded, UnsupportedModel
from build.model_files import CONFIG

ENCODER_CLASSES = ("Model", "ForMaskedLM", "ForPreTraining")
"""Endings of a config's architecture that stand for the plain encoder; heads of these classes are left out."""


def whole_number(config: dict[str, Any], key: str) -> int:
    """A number of the model's config. Raises ``ModelNotFound`` where it is missing or something else."""
    if key not in config:
        raise ModelNotFound(f"{CONFIG} has no {key}: the model's config is incomplete")
    if type(config[key]) is not int:
        raise ModelNotFound(f"{CONFIG}: {key} is {json.dumps(config[key])}, and must be a whole number")
    return int(config[key])


def _all_positions(config: dict[str, Any]) -> int:
    return whole_number(config, "max_position_embeddings")


def _positions_after_padding(config: dict[str, Any]) -> int:
    """These families number positions from the padding token's id + 1 on (fairseq's habit)."""
    return _all_positions(config) - whole_number({"pad_token_id": 1, **config}, "pad_token_id") - 1


@dataclass(frozen=True)
class Family:
    """``model_type`` and ``prefix`` are transformers' names for it; ``positions``: the most tokens of a text.

    ``width``: the key in its config under which the number of an embedding's components stands.
    """

    model_type: str
    prefix: str
    positions: Callable[[dict[str, Any]], int]
    width: str = "hidden_size"


FAMILIES = (
    Family("bert", "Bert", _all_positions),
    Family("distilbert", "DistilBert", _all_positions, width="dim"),
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
    declared = config.get("architectures") or [None]
    architecture = declared[0] if isinstance(declared, list) else declared
    for family in FAMILIES:
        if config.get("model_type") == family.model_type:
            known = [family.prefix + ending for ending in ENCODER_CLASSES]
            if architecture is None or architecture in known:
                return family
    supported = ", ".join(family.prefix for family in FAMILIES)
    name = architecture or config.get("model_type") or "none named in config.json"
    raise UnsupportedModel(f"the architecture {name} is not supported; supported encoders: {supported}")
