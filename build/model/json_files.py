"""Reads the JSON files of a model directory, with an error that names the file where one is missing or malformed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from build.errors import ModelNotFound, UnsupportedModel


def read_json(directory: Path, name: str) -> Any:
    """Raises ``ModelNotFound`` where the file is missing, cannot be read or is not JSON."""
    try:
        return json.loads((directory / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelNotFound(f"{directory} has no {name}: the model directory is incomplete") from None
    except OSError as error:
        raise ModelNotFound(f"{name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ModelNotFound(f"{name} is not JSON: {error}") from None


def read_object(directory: Path, name: str) -> dict[str, Any]:
    """A JSON object of the directory. Raises ``ModelNotFound`` where it is missing or malformed."""
    value = read_json(directory, name)
    if not isinstance(value, dict):
        raise ModelNotFound(f"{name} is not a JSON object")
    return value


def refuse_unknown(config: dict[str, Any], known: set[str], name: str) -> None:
    """Raises ``UnsupportedModel`` that names the first key that is not known."""
    if unknown := sorted(set(config) - known):
        raise UnsupportedModel(f"{name}: the key {unknown[0]} is unknown, and might change vectors")
