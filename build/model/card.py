"""Reads what a model's card declares: its license and its task."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from build.model.files import CARD

METADATA = re.compile(r"\s*---\n+(.*?)\n+---(?:\n|$)", re.DOTALL)
"""The metadata block of a card is the YAML between two lines of dashes at its start, as the hub reads it."""


def read_licence(directory: Path) -> str | None:
    """The ``license`` of the directory's card; None without a card, metadata or a single license in it."""
    licence = _metadata(directory).get("license")
    return licence if isinstance(licence, str) else None


def read_task(directory: Path) -> str | None:
    """The ``pipeline_tag`` of the directory's card, such as ``text-ranking``; None where there is none."""
    task = _metadata(directory).get("pipeline_tag")
    return task if isinstance(task, str) else None


def _metadata(directory: Path) -> dict[str, Any]:
    # NOTE: huggingface_hub's own loader is stricter than the hub: it gives up at a byte that is not UTF-8.
    card = directory / CARD
    block = METADATA.match(card.read_text(encoding="utf-8", errors="replace")) if card.is_file() else None
    try:
        fields = yaml.safe_load(block[1]) if block else None
    except (yaml.YAMLError, ValueError):  # NOTE: a malformed date is a ValueError.
        return {}
    return fields if isinstance(fields, dict) else {}
