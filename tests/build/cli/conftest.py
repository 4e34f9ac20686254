"""``quantize.py`` as a user runs it, with a model and a place for the bundle."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.models import tiny_models
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.quantize import TINY


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def quantize(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: object, python: object = sys.executable, limit: int | None = None, **more: str):
        def limit_files() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.run(
            [str(python), "quantize.py", *map(str, arguments)],
            cwd=ROOT,
            env=environment | more,
            preexec_fn=limit_files,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_models.copy(TINY, tmp_path / "model")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "bundles").mkdir()
    return tmp_path / "bundles" / "tiny"
