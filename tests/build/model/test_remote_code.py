"""Code that a model brings, beside its weights or in another repository of the hub: run once it is trusted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from manifest import read_manifest
from tests.support.models import tiny_models
from tests.support.models.model_table import CODE_ELSEWHERE, NOMIC
from tests.support.paths import DATA
from tests.support.programs.hub_forks import HubForks
from tests.support.server import hub_server

CODE = DATA / "remote_code"


@pytest.fixture
def quantize(hub_forks: HubForks, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the program with the hub that ``running_hub`` starts."""
    hub_forks.set_home(tmp_path / "cache")
    # PERF: tests run beside one another, and threads without a core of their own wait for one another.
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def run(model: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = ["quantize.py", model, f"--output={tmp_path}/bundle", "--precision=fp32", *options]
        return hub_forks.run(command, environment)

    return run


@pytest.mark.parametrize("model", [NOMIC, CODE_ELSEWHERE], ids=lambda model: model.name)
def test_without_trust_nothing_is_run_or_asked_for(quantize, hub_forks: HubForks, model):
    with hub_server.running_hub(hub_forks.port) as hub:
        result = quantize(tiny_models.make(model))
        assert hub.seen == []
    assert result.returncode == 1
    assert "pass --trust-remote-code" in result.stderr


def test_trusted_code_comes_from_the_repository_that_the_config_names(quantize, hub_forks: HubForks, tmp_path: Path):
    with hub_server.running_hub(hub_forks.port) as hub:
        hub.repositories["someone/code"] = hub_server.Repository(hub_server.files_of(CODE) | {"train.bin": b"large"})
        result = quantize(tiny_models.make(CODE_ELSEWHERE), "--trust-remote-code")
        assert set(hub.downloads()) == {path.name for path in CODE.glob("*.py")}
        commit = hub.repositories["someone/code"].commit
    assert result.returncode == 0, result.stderr
    manifest = read_manifest(tmp_path / "bundle")
    assert manifest.source.code_revision == commit
    assert manifest.fidelity is not None
    assert manifest.fidelity.cosine.minimum >= 1 - 1e-6


def test_a_pinned_commit_of_the_code_is_run_although_the_newest_is_in_the_cache(
    quantize, hub_forks: HubForks, tmp_path: Path
):
    good = hub_server.Repository(hub_server.files_of(CODE), refs=())
    bad = hub_server.Repository(dict.fromkeys(good.files, b"raise ImportError('the newest code ran')"), older=(good,))
    model = tiny_models.make(CODE_ELSEWHERE)
    with hub_server.running_hub(hub_forks.port) as hub:
        hub.repositories["someone/code"] = bad
        newest = quantize(model, "--trust-remote-code")
        pinned = ("--trust-remote-code", f"--code-revision={good.commit}")
        result = quantize(model, *pinned)
    assert newest.returncode == 1
    assert newest.stderr.endswith("the newest code ran (ImportError)\n")
    assert result.returncode == 0, result.stderr
    assert read_manifest(tmp_path / "bundle").source.code_revision == good.commit


def test_code_whose_repository_is_gone_is_reported(quantize, hub_forks: HubForks):
    with hub_server.running_hub(hub_forks.port):
        result = quantize(tiny_models.make(CODE_ELSEWHERE), "--trust-remote-code")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("quantize.py: the hub has no model someone/code")
