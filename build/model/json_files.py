"""Reads a model's JSON files. Every error names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from build.errors import ModelNotFound, UnsupportedModel


def read_json(directory: Path, name: str) -> Any:
    """Parse a file of the directory. Raises ``ModelNotFound`` where it is missing, unreadable or not JSON."""
    try:
        return json.loads((directory / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelNotFound(f"{directory} has no {name}: the model directory is incomplete") from None
    except OSError as error:
        raise ModelNotFound(f"{name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ModelNotFound(f"{name} is not JSON: {error}") from None


def read_object(directory: Path, name: str) -> dict[str, Any]:
    """Parse a file that holds a JSON object. Raises ``ModelNotFound`` where it is missing or malformed."""
    value = read_json(directory, name)
    if not isinstance(value, dict):
        raise ModelNotFound(f"{name} must be a JSON object")
    return value


def refuse_unknown(config: dict[str, Any], known: set[str], name: str) -> None:
    """Raise ``UnsupportedModel`` for the first key that is not known."""
    if unknown := sorted(set(config) - known):
        raise UnsupportedModel(f"{name}: the key {unknown[0]} is unknown, and might change vectors")
