"""Fixtures of the tests of images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.image.fake_docker import FakeDocker, write_bundle


@pytest.fixture
def docker(tmp_path: Path) -> FakeDocker:
    home = tmp_path / "fake"
    home.mkdir()
    write_bundle(home / "bundle")
    return FakeDocker(home)
