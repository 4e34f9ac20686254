"""The command line of ``quantize.py``: help, wrong arguments, and which Python runs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from build.fidelity.runtime_process import RUNTIME_PYTHON
from build.fidelity.thresholds import OPTIONS
from build.names import default_output
from manifest import (
    Precision,
    Target,
    read_manifest,
)
from tests.support.paths import ROOT
from tests.support.quantize import message

pytestmark = pytest.mark.slow


FLAGS = [option.flag for option in OPTIONS]


def test_help_shows_examples(quantize):
    result = quantize("--help")
    assert (result.returncode, result.stderr) == (0, "")
    examples = result.stdout.partition("examples:\n")[2]
    assert len(re.findall(r"^ .*\./quantize\.py \S", examples, re.MULTILINE)) >= 4
    options = ("--arch", "--precision", "--revision", "--output", "--force", "--trust-remote-code", "--code-revision")
    for option in (*options, *FLAGS):
        assert option in result.stdout
    for word in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT", "amd64", "arm64", "int8", "fp32"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: MODEL"),
        (["a", "b"], "unrecognized arguments: b"),
        (["a", "--arch=mips"], "--arch must be amd64, arm64 or both, not 'mips'"),
        (["a", "--precision=int4"], "--precision must be int8, int8-stock, fp32 or stored, not 'int4'"),
        (["a", "--no-such-option"], "unrecognized arguments: --no-such-option"),
        (["a", "--min-cosine-p1=2"], ""),
        (["a", "--code-revision=v1"], "--code-revision must be a commit of 40 hexadecimal digits, not 'v1'"),
        (["a", "--allow-pickle=maybe"], "--allow-pickle must be 1, true, yes, on, 0, false, no or off, not 'maybe'"),
    ],
)
def test_wrong_arguments_are_named_with_the_usage(quantize, arguments: list[str], sentence: str):
    result = quantize(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: quantize.py ")
    assert result.stderr.splitlines()[-1].startswith(f"quantize.py: error: {sentence}")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The program's own code without any environment."""
    home = tmp_path / "checkout"
    shutil.copytree(ROOT / "build", home / "build", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "sections", home / "sections", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("quantize.py", "manifest.py"):
        shutil.copy2(ROOT / name, home / name)
    return home


def before_setup(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program with a Python that has no package."""
    command = [sys.executable, "-S", str(checkout / "quantize.py"), *arguments]
    environment = {"PATH": os.defpath} | environment
    return subprocess.run(command, cwd=checkout.parent, env=environment, capture_output=True, text=True)


def test_help_needs_no_package(checkout: Path, quantize):
    result = before_setup(checkout, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == quantize("--help").stdout


def test_wrong_arguments_are_named_before_setup(checkout: Path):
    result = before_setup(checkout, "a", "--precision=int4")
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: --precision must be int8, int8-stock, fp32 or stored, not 'int4'\n" in result.stderr


def test_before_setup_the_command_for_it_is_named(checkout: Path):
    said = message(before_setup(checkout, "BAAI/bge-small-en-v1.5", "--precision", "fp32"))
    assert said == f"{sys.executable} lacks the build's packages: run `make setup` once, then try again"


def test_the_program_starts_itself_with_the_environments_python(quantize, model: Path, output: Path):
    result = quantize(model, "--precision=fp32", "--output", output, python=RUNTIME_PYTHON)
    assert result.returncode == 0, result.stderr
    assert read_manifest(output).precision is Precision.FP32


def test_an_environment_that_is_not_the_pythons_does_not_start_the_program_for_ever(checkout: Path):
    """As where PYTHONHOME is set."""
    (checkout / ".venv" / "build" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "build" / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    assert before_setup(checkout, "--help").returncode == 0


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("BAAI/bge-small-en-v1.5", "baai-bge-small-en-v1.5"),
        ("./My-Model/", "my-model"),
        ("/data/models/X", "data-models-x"),
        ("../..", "model"),
    ],
)
def test_without_an_output_the_bundle_is_named_after_the_model(model: str, name: str):
    assert default_output(model, None, Precision.INT8, Target.ARM64) == Path(f"bundles/{name}-int8-arm64")
    assert default_output(model, "v2", Precision.INT8, Target.ARM64) == Path(f"bundles/{name}-v2-int8-arm64")
