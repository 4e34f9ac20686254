"""Second stage: reads from a model's files what its vectors depend on, without loading it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from build.errors import ModelNotFound, UnsupportedModel
from build.families import Family, family_of, whole_number
from build.model_files import CONFIG
from build.sentence_files import SentenceFiles, read_object, read_sentence_files

TOKENIZER_CONFIG = "tokenizer_config.json"
FRONT_MATTER = "---"

SPECIAL_TOKENS = 2
"""How many of a text's tokens are not the text's, in every supported family: one before it and one behind."""


@dataclass(frozen=True)
class Description:
    """``max_tokens`` counts special tokens and the prompt's; ``dim`` is the vector's number of components."""

    family: Family
    sentence: SentenceFiles
    dim: int
    max_tokens: int
    licence: str | None


def describe(directory: Path, trust_remote_code: bool) -> Description:
    """Raises ``ModelNotFound``, ``UnsupportedModel`` or ``RemoteCodeNeeded``."""
    config = read_object(directory, CONFIG)
    family = family_of(config, trust_remote_code)
    sentence = read_sentence_files(directory)
    return Description(
        family=family,
        sentence=sentence,
        dim=whole_number(config, family.width),
        max_tokens=_max_tokens(directory, config, family, sentence.max_seq_length),
        licence=_licence(directory),
    )


def _max_tokens(directory: Path, config: dict[str, Any], family: Family, max_seq_length: int | None) -> int:
    """sentence-transformers' limit: max_seq_length, else the tokenizer's model_max_length; never past the positions.

    Where the original would take more tokens than it has positions, it fails; the limit here is the positions.
    """
    limits = [family.positions(config)]
    if max_seq_length is not None:
        limits.append(max_seq_length)
    elif (directory / TOKENIZER_CONFIG).exists():
        declared = read_object(directory, TOKENIZER_CONFIG).get("model_max_length")
        if declared is not None and type(declared) not in (int, float):
            raise ModelNotFound(f"{TOKENIZER_CONFIG}: model_max_length is {json.dumps(declared)}, and must be a number")
        limits += [declared] if declared else []
    if (limit := min(limits)) <= SPECIAL_TOKENS:
        raise UnsupportedModel(f"a limit of {limit} tokens leaves no room for text beside the special tokens")
    return int(limit)


def _licence(directory: Path) -> str | None:
    """The ``license`` of the model card's front matter."""
    card = directory / "README.md"
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines() if card.exists() else []
    if not lines or lines[0].strip() != FRONT_MATTER:
        return None
    end = next((n for n, line in enumerate(lines[1:], 1) if line.strip() == FRONT_MATTER), 0)
    try:
        fields = yaml.safe_load("\n".join(lines[1:end]))
    except (yaml.YAMLError, ValueError):  # NOTE: ValueError for what looks like a date and is none.
        return None
    licence = fields.get("license") if isinstance(fields, dict) else None
    return licence if isinstance(licence, str) else None
