"""Sorts tests by environment: ``test_runtime_*`` run with the runtime's packages alone, others with the build's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

IN_RUNTIME_ENVIRONMENT = importlib.util.find_spec("torch") is None


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    if collection_path.suffix != ".py":
        return None
    return collection_path.name.startswith("test_runtime_") != IN_RUNTIME_ENVIRONMENT or None
