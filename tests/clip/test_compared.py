"""``make compare`` of a running server with bundles of texts and images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles.clips import clip_bundle
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.server.server_process import Server, ready

OLD = "sentence-transformers"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(clip_bundle(OLD), tmp_path_factory.mktemp("log") / "log", WORKERS="1") as server:
        yield server


def compared(server: Server, bundle: Path, folder: Path) -> tuple[int, dict[str, Any]]:
    """The exit status and the results."""
    texts, results = folder / "texts.txt", folder / "compared.json"
    texts.write_text("\n".join(f"river {n} and {n + 1} stones" for n in range(24)), encoding="utf-8")
    command = [sys.executable, "-W", "error", "-m", "build.compare", "--old", f"http://127.0.0.1:{server.port}"]
    status = subprocess.run(
        [*command, "--bundle", bundle, "--texts", texts, "--json", results],
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
        timeout=PATIENCE,
    ).returncode
    return status, json.loads(results.read_text())


def test_the_same_bundle_is_a_drop_in(server: Server, tmp_path: Path):
    status, value = compared(server, clip_bundle(OLD), tmp_path)
    assert (status, value["verdict"], value["findings"]) == (0, "drop in", {})
    assert all(figures["cosines"]["minimum"] > 0.999999 for figures in value["figures"].values())


def test_the_same_weights_in_a_layout_that_normalizes_need_another_import(server: Server, tmp_path: Path):
    status, value = compared(server, clip_bundle("transformers"), tmp_path)
    assert (status, value["verdict"], value["findings"]) == (3, "re-import needed", {})
    assert all(figures["cosines"]["minimum"] > 0.9999 for figures in value["figures"].values())
    assert [reason.split(" ")[0] for reason in value["reasons"]] == ["texts:", "images:"]
    assert all("times as long as old ones" in reason for reason in value["reasons"])
