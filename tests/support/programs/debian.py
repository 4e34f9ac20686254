"""Programs that tests need and that Debian has. They are skipped where one is missing, but never in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str, package: str) -> str:
    """The program's path. Skips the test where it is missing; in CI, fails."""
    path = shutil.which(name)
    if path is not None:
        return path
    sentence = f"{name} is missing: apt-get install {package}"
    assert os.environ.get("CI") != "true", sentence
    pytest.skip(sentence)
