"""The export stage's command: build arguments become options of quantize.py, and its summary leaves the stage."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from build.errors import InvalidOption
from build.fidelity.thresholds import OPTIONS
from build.image.export_model import SWITCHES, VALUES, quantize_options
from tests.support.paths import ROOT

QUANTIZE = """\
import sys
print("model      org/model")
print("output     /bundle", "serve it   make serve BUNDLE=/bundle", "fidelity   0.9997", sep="\\n")
print("[1/8] fetch:", *sys.argv[1:], file=sys.stderr)
sys.exit(3)
"""


def test_only_what_is_given_becomes_an_option():
    empty = dict.fromkeys((*VALUES, *SWITCHES), "")
    assert quantize_options({**empty, "MODEL": "org/model"}) == ["--output=/bundle", "--", "org/model"]
    assert quantize_options({"MODEL": "--help"}) == ["--output=/bundle", "--", "--help"]


def test_every_argument_becomes_an_option():
    given = {
        "TARGET": "arm64",
        "IMAGE_MODEL": "org/images",
        "PRECISION": "fp32",
        "REVISION": "a b; $(c)",
        "IMAGE_REVISION": "v3",
        "CODE_REVISION": "c0ffee",
        "TRUST_REMOTE_CODE": "1",
        "ALLOW_PICKLE": "yes",
        "MIN_COSINE_MEAN": "0.9",
        "MIN_COSINE_P1": "0.8",
        "MIN_COSINE_MIN": "-0.5",
        "MIN_RANK_AGREEMENT": "0.7",
        "MIN_TOP_KEPT": "0.6",
        "MAX_SCORE_ERROR": "0.5",
    }
    assert set(given) == {*VALUES, *SWITCHES}
    assert quantize_options({**given, "MODEL": "org/model"}) == [
        *(
            "--arch=arm64",
            "--image-model=org/images",
            "--precision=fp32",
            "--revision=a b; $(c)",
            "--image-revision=v3",
            "--code-revision=c0ffee",
        ),
        *("--min-cosine-mean=0.9", "--min-cosine-p1=0.8", "--min-cosine-min=-0.5"),
        *("--min-rank-agreement=0.7", "--min-top-kept=0.6", "--max-score-error=0.5"),
        *("--trust-remote-code", "--allow-pickle", "--output=/bundle", "--", "org/model"),
    ]


def test_every_option_is_one_of_quantize():
    text = subprocess.run(
        [sys.executable, "quantize.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {*VALUES.values(), *SWITCHES.values(), "--output"} <= set(re.findall(r"--[a-z0-9-]+", text))
    assert {option.flag for option in OPTIONS} <= set(VALUES.values())


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["0", "false", "off"])
def test_a_switch_can_be_off(name: str, value: str):
    assert quantize_options({"MODEL": "org/model", name: value}) == ["--output=/bundle", "--", "org/model"]


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_on_or_off(name: str):
    with pytest.raises(InvalidOption, match=f"^{name} must be .*, not 'maybe'$"):
        quantize_options({"MODEL": "org/model", name: "maybe"})


class TestStage:
    def run(self, directory: Path, **arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "MODEL": "org/model", **arguments}
        command = [sys.executable, "-m", "build.image.export_model"]
        return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)

    def test_paths_of_the_stage_are_left_out_of_the_summary(self, tmp_path: Path):
        (tmp_path / "quantize.py").write_text(QUANTIZE)
        ran = self.run(tmp_path, TARGET="amd64")
        assert ran.stdout == "model      org/model\nfidelity   0.9997\n"
        assert ran.stderr == "[1/8] fetch: --arch=amd64 --output=/bundle -- org/model\n"
        assert ran.returncode == 3

    def test_a_failure_adds_nothing(self, tmp_path: Path):
        (tmp_path / "quantize.py").write_text("import sys; sys.exit('quantize.py: no such model')")
        ran = self.run(tmp_path)
        assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "quantize.py: no such model\n")

    def test_a_wrong_switch_is_one_line(self, tmp_path: Path):
        ran = self.run(tmp_path, ALLOW_PICKLE="maybe")
        assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
        assert ran.stderr.startswith("quantize.py: ALLOW_PICKLE must be 1, true")
