"""``quantize.py`` as a user runs it, with a model and a place for the bundle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.models import tiny_models
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.programs.forks import Forks
from tests.support.programs.hub_forks import HubForks
from tests.support.quantize import TINY


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    hub = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    # PERF: tests run beside one another, and threads without a core of their own wait for one another.
    return {"PATH": os.defpath, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1", **hub}


@pytest.fixture
def quantize_from_hub(
    environment: dict[str, str], hub_forks: HubForks, tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the program with a hub at ``hub_forks.port``."""
    hub_forks.set_home(tmp_path / "cache")
    of_this_user = {name: value for name, value in environment.items() if not name.startswith("HF_")}

    def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        return hub_forks.run(["quantize.py", *arguments], of_this_user | more)

    return run


@pytest.fixture
def quantize(environment: dict[str, str], forks: Forks) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the program; without a fork where it needs another Python, or more of an environment."""

    def run(*arguments: object, python: object = None, limit: int | None = None, **more: str):
        if python is None and not more:
            return forks.run(["quantize.py", *arguments], environment, file_bytes=limit)
        assert limit is None
        return subprocess.run(
            [str(python or sys.executable), "quantize.py", *map(str, arguments)],
            cwd=ROOT,
            env=environment | more,
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
