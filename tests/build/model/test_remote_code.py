"""Code that a model brings, beside its weights or in another repository of the hub: run once it is trusted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from manifest import read_manifest
from tests.support.models import tiny_models
from tests.support.models.model_table import CODE_ELSEWHERE, NOMIC
from tests.support.paths import DATA, ROOT
from tests.support.patience import PATIENCE
from tests.support.server import hub_server

CODE = DATA / "remote_code"


def quantize(tmp_path: Path, model: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "quantize.py", str(model), f"--output={tmp_path}/bundle", "--precision=fp32", *options],
        cwd=ROOT,
        env={"PATH": os.defpath, "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "cache"), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("model", [NOMIC, CODE_ELSEWHERE], ids=lambda model: model.name)
def test_without_trust_nothing_is_run_or_asked_for(tmp_path: Path, model):
    with hub_server.running_hub() as hub:
        result = quantize(tmp_path, tiny_models.make(model), HF_ENDPOINT=hub.endpoint)
        assert hub.seen == []
    assert result.returncode == 1
    assert "pass --trust-remote-code" in result.stderr


def test_trusted_code_comes_from_the_repository_that_the_config_names(tmp_path: Path):
    with hub_server.running_hub() as hub:
        hub.repositories["someone/code"] = hub_server.Repository(hub_server.files_of(CODE) | {"train.bin": b"large"})
        result = quantize(tmp_path, tiny_models.make(CODE_ELSEWHERE), "--trust-remote-code", HF_ENDPOINT=hub.endpoint)
        assert set(hub.downloads()) == {path.name for path in CODE.glob("*.py")}
        commit = hub.repositories["someone/code"].commit
    assert result.returncode == 0, result.stderr
    manifest = read_manifest(tmp_path / "bundle")
    assert manifest.source.code_revision == commit
    assert manifest.fidelity is not None
    assert manifest.fidelity.cosine.minimum >= 1 - 1e-6


def test_a_pinned_commit_of_the_code_is_run_although_the_newest_is_in_the_cache(tmp_path: Path):
    good = hub_server.Repository(hub_server.files_of(CODE), refs=())
    bad = hub_server.Repository(dict.fromkeys(good.files, b"raise ImportError('the newest code ran')"), older=(good,))
    model = tiny_models.make(CODE_ELSEWHERE)
    with hub_server.running_hub() as hub:
        hub.repositories["someone/code"] = bad
        newest = quantize(tmp_path, model, "--trust-remote-code", HF_ENDPOINT=hub.endpoint)
        pinned = ("--trust-remote-code", f"--code-revision={good.commit}")
        result = quantize(tmp_path, model, *pinned, HF_ENDPOINT=hub.endpoint)
    assert newest.returncode == 1
    assert newest.stderr.endswith("the newest code ran (ImportError)\n")
    assert result.returncode == 0, result.stderr
    assert read_manifest(tmp_path / "bundle").source.code_revision == good.commit


def test_code_whose_repository_is_gone_is_reported(tmp_path: Path):
    with hub_server.running_hub() as hub:
        result = quantize(tmp_path, tiny_models.make(CODE_ELSEWHERE), "--trust-remote-code", HF_ENDPOINT=hub.endpoint)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("quantize.py: the hub has no model someone/code")
