"""What ``make compare`` tells its users: ``--help``, the page, and which variable is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE


class TestHelp:
    def test_it_teaches(self):
        program = [sys.executable, "-m", "build.compare", "--help"]
        result = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
        assert (result.returncode, result.stderr) == (0, "")
        assert len(re.findall(r"make compare OLD=\S+ BUNDLE=\S+ TEXTS=\S+", result.stdout)) >= 3
        statuses = "0 drop in, 3 re-import needed or rankings differ, 1 an error, 2 wrong arguments, 130 interrupted"
        assert statuses in result.stdout
        for word in ("--task", "--pooling-strategy", "--json", "--timeout", "--new", "OLD_TOKEN", "NEW_TOKEN"):
            assert word in result.stdout

    def test_the_page_names_the_variables_that_make_reads(self):
        recipe = (ROOT / "Makefile").read_text().split("\ncompare: ")[1].split("\n\n")[0]
        page = (ROOT / "docs" / "compare.md").read_text().split("## The figures")[0]
        assert set(re.findall(r"\b([A-Z_]+):", recipe)) == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))

    @pytest.mark.parametrize("missing", ["OLD", "BUNDLE", "TEXTS"])
    def test_make_says_which_variable_is_missing(self, missing: str):
        given = [f"{name}=x" for name in ("OLD", "BUNDLE", "TEXTS") if name != missing]
        environment = {"PATH": os.environ["PATH"]}
        for more in ([], [f"{missing}="]):
            result = subprocess.run(
                ["make", "--dry-run", "compare", *given, *more],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            assert result.returncode == 2
            assert f"{missing}= is missing: make compare OLD=" in result.stderr

    @pytest.mark.parametrize(
        ("given", "python", "prepared"),
        [(["NEW=http://x"], "runtime", ".venv/build"), (["OLD=http://x", "BUNDLE=x"], "build", "no-such-word")],
    )
    def test_two_addresses_need_no_environment_of_builds(self, given: list[str], python: str, prepared: str):
        """PyTorch is what fills that one."""
        result = subprocess.run(
            ["make", "--dry-run", "--always-make", "compare", "TEXTS=x", *given],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert f".venv/{python}/bin/python -m build.compare" in result.stdout
        assert prepared not in result.stdout
