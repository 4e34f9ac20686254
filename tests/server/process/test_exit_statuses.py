"""The exit statuses of docs/deploy.md are those with which a real server ends."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from build.compare.hypotheses import pooled_by
from build.fidelity.runtime_process import RUNTIME_PYTHON
from manifest import MANIFEST_FILE, PoolingMode, TextModel, read_manifest, write_manifest
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.server.server_process import ready

TABLE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8").split("## Exit statuses")[1].split("\n## ")[0]
STATUSES = {meaning: int(status) for status, meaning in re.findall(r"^\| (\d) \| (.+) \|$", TABLE, re.MULTILINE)}


def ended(bundle: Path, *arguments: str, **settings: str) -> int:
    """The exit status of a server that ends by itself."""
    environment = {"PATH": os.defpath, "BUNDLE_DIR": str(bundle), "PORT": "0"} | settings
    command = [RUNTIME_PYTHON, "-m", "runtime", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=PATIENCE).returncode


def with_files_of(bundle: Path, directory: Path) -> Path:
    directory.mkdir()
    for file in bundle.iterdir():
        (directory / file.name).symlink_to(file.resolve())
    return directory


def asked_to_stop(bundle: Path, home: Path) -> int:
    with ready(bundle, home / "log") as server:
        return server.terminate()


def wrong_setting(bundle: Path, home: Path) -> int:
    return ended(bundle, PORT="http")


def taken_port(bundle: Path, home: Path) -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return ended(bundle, PORT=str(taken.getsockname()[1]))


def damaged_bundle(bundle: Path, home: Path) -> int:
    copy = with_files_of(bundle, home / "bundle")
    (copy / "tokenizer.json").unlink()
    return ended(copy, PORT=free())


def other_vectors(bundle: Path, home: Path) -> int:
    copy = with_files_of(bundle, home / "bundle")
    manifest = read_manifest(bundle)
    (copy / MANIFEST_FILE).unlink()
    write_manifest(copy, replace(manifest, section=pooled_by(manifest.section_as(TextModel), PoolingMode.CLS)))
    return ended(copy, PORT=free())


def free() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


ENDS: dict[str, Callable[[Path, Path], int]] = {
    "stopped by SIGTERM or SIGINT, and every request was answered": asked_to_stop,
    "a setting is wrong": wrong_setting,
    "the port is in use": taken_port,
    "the bundle is missing or damaged": damaged_bundle,
    "the golden requests fail": other_vectors,
}


def test_the_page_lists_them():
    assert ENDS.keys() <= STATUSES.keys()


@pytest.mark.parametrize("end", ENDS)
def test_a_server_ends_with_the_status_that_the_page_names(end: str, default_bundle: Path, tmp_path: Path):
    assert ENDS[end](default_bundle, tmp_path) == STATUSES[end]


def test_help_is_no_failure(default_bundle: Path):
    assert ended(default_bundle, "--help") == 0
