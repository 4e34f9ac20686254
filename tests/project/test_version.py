"""The version is a semantic one, and reaches image builds."""

from __future__ import annotations

import re

from manifest import project_version
from tests.support.paths import ROOT


def test_the_version_is_three_numbers():
    assert re.fullmatch(r"\d+\.\d+\.\d+", project_version())


def test_it_is_part_of_a_builds_context():
    assert "!VERSION" in (ROOT / ".dockerignore").read_text().splitlines()
