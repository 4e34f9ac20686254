"""make hands the values of variables on as they are, and its help is complete."""

from __future__ import annotations

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from build.model.default_model import MODEL
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

MAKEFILE = (ROOT / "Makefile").read_text()
RECORDER = """\
#!{python} -SE
import os, sys

with open({calls!r}, "a") as calls:
    calls.write(repr(dict(words=sys.argv[1:], environment=dict(os.environ))) + "\\n")
"""
"""PERF: it starts twice as fast as with the module json."""

ATTACKS = (
    "$(shell touch ran)",
    "${shell touch ran}",
    "`touch ran`",
    "x'; touch ran; '",
    'x"; touch ran; "',
    "$$(touch ran)",
    "$(touch ran)",
    "$$(shell touch ran)",
    "; touch ran",
    "& touch ran",
    "x\n\ttouch ran\n",
    "$(eval $(shell touch ran))",
    "$(error ran)",
    "$(MODEL)",
    "${MODEL}",
    "$(",
    "$",
    "$MODEL",
    "\\",
    "a b",
    "a  b ",
    "a#b",
    "*",
    "~",
    "a:b=c",
    "a,b)",
    "--force",
    "%",
)
OPTIONS = {
    "serve": {
        "MODEL": "--model",
        "BUNDLE": "--bundle",
        "ARCH": "--arch",
        "PRECISION": "--precision",
        "REVISION": "--revision",
        "IMAGE_MODEL": "--image-model",
        "IMAGE_REVISION": "--image-revision",
        "TRUST_REMOTE_CODE": "--trust-remote-code",
        "CODE_REVISION": "--code-revision",
        "ALLOW_PICKLE": "--allow-pickle",
        "MIN_COSINE_MEAN": "--min-cosine-mean",
        "MIN_COSINE_P1": "--min-cosine-p1",
        "MIN_COSINE_MIN": "--min-cosine-min",
        "MIN_RANK_AGREEMENT": "--min-rank-agreement",
        "MIN_TOP_KEPT": "--min-top-kept",
        "MAX_SCORE_ERROR": "--max-score-error",
        "PORT": "--port",
    },
    "bundle": {"MODEL": "--model", "BUNDLE": "--bundle", "REVISION": "--revision"},
    "image": {
        "MODEL": "--model",
        "BUNDLE": "--bundle",
        "ARCH": "--arch",
        "PRECISION": "--precision",
        "REVISION": "--revision",
        "IMAGE_MODEL": "--image-model",
        "IMAGE_REVISION": "--image-revision",
        "TRUST_REMOTE_CODE": "--trust-remote-code",
        "CODE_REVISION": "--code-revision",
        "MIN_COSINE_P1": "--min-cosine-p1",
        "MAX_SCORE_ERROR": "--max-score-error",
        "TAG": "--tag",
    },
    "bases": {"ARCH": "--arch", "REGISTRY": "--registry"},
    "sbom": {"IMAGE": "--image"},
    "compare": {
        "OLD": "--old",
        "BUNDLE": "--bundle",
        "NEW": "--new",
        "TEXTS": "--texts",
        "IMAGES": "--images",
        "TASK": "--task",
        "POOLING_STRATEGY": "--pooling-strategy",
        "JSON": "--json",
    },
    "kernels": {"ARCH": "--arch"},
    "bench": {"KIND": "--kind", "MODEL": "--model", "BASE": "--base", "LOADS": "--loads"},
    "bench-fidelity": {"MODEL": "--model", "STSB": "--stsb"},
    "bench-import": {"BUNDLE": "--bundle"},
    "soak": {"BUNDLE": "--bundle", "DURATION": "--duration"},
    "bench-models": {
        "MODEL": "--model",
        "ROUNDS": "--rounds",
        "TOKENS": "--tokens",
        "SYSTEMS": "--systems",
        "SCRATCH": "--scratch",
    },
}
"""The variables that each target hands on, and the options in which it does."""

INTERNAL = ("HOST", "BUILD", "RUNTIME", "LINT", "SHELL", "options", "torch_links", "given", "MODEL_BY_DEFAULT", "FOO")
"""Names that the Makefile sets itself, and one that it does not know."""


class Checkout:
    """A Makefile whose Pythons write down how they are called, in environments that are up to date."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name in ("Makefile", "VERSION"):
            shutil.copy(ROOT / name, home)
        for name in re.findall(r"\b[\w/-]+\.txt\b", MAKEFILE):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text("")
        self.python = home / "recorder"
        self.python.write_text(RECORDER.format(python=sys.executable, calls=str(home / "calls")))
        self.python.chmod(0o755)
        for name in ("build", "runtime", "lint", "sbom"):
            (home / ".venv" / name / "bin").mkdir(parents=True)
            (home / ".venv" / name / "bin" / "python").symlink_to(self.python)
            (home / ".venv" / name / ".ready").write_text("")
            (home / ".venv" / name / ".tested").write_text("")

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *arguments],
            cwd=self.home,
            env={"PATH": os.environ["PATH"], "PYTHON": str(self.python)} | environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def calls(self, module: str) -> list[dict]:
        """How a module was called since the last time."""
        lines = (self.home / "calls").read_text().splitlines()
        (self.home / "calls").unlink()
        return [call for call in map(ast.literal_eval, lines) if call["words"][:2] == ["-m", module]]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


MODULES = {
    "serve": "build.make_bundle",
    "bundle": "build.make_bundle",
    "image": "build.image",
    "bases": "build.image.bases",
    "sbom": "build.sbom",
    "compare": "build.compare",
    "kernels": "build.kernels",
    "bench": "bench",
    "bench-fidelity": "bench.precisions",
    "bench-models": "bench.models",
    "bench-import": "bench.importing",
    "soak": "bench.soak",
}


NAMES = sorted({name for options in OPTIONS.values() for name in options})


def deals(names: Sequence[str]) -> list[dict[str, str]]:
    """Values for variables, so often that each attack is dealt to one of them."""
    attacks = itertools.cycle(ATTACKS)
    rounds = -(-len(ATTACKS) // len(names))
    return [{name: next(attacks) for name in names} for _ in range(rounds)]


@pytest.mark.parametrize("place", ["command line", "environment"])
class TestValues:
    """Values reach the program as they are, and neither make nor a shell interprets them."""

    @staticmethod
    def make(checkout: Checkout, place: str, values: dict[str, str], *arguments: str) -> str:
        """Run make with the values in one of the two places; return what it prints."""
        if place == "environment":
            result = checkout.make(*arguments, **values)
        else:
            result = checkout.make(*arguments, *(f"{name}={value}" for name, value in values.items()))
        assert result.returncode == 0, result.stderr
        assert not (checkout.home / "ran").exists()
        return result.stdout

    @pytest.mark.parametrize(
        ("target", "values"), [(target, values) for target, options in OPTIONS.items() for values in deals([*options])]
    )
    def test_a_target_hands_them_on(self, checkout: Checkout, place: str, target: str, values: dict[str, str]):
        self.make(checkout, place, values, target)
        (call,) = [call for call in checkout.calls(MODULES[target]) if "--if-needed" not in call["words"]]
        assert set(call["words"][2:]) - {"--serve"} == {
            f"{option}={values[name]}" for name, option in OPTIONS[target].items()
        }
        assert values.items() <= call["environment"].items()

    @pytest.mark.parametrize(
        "arguments", [["help"], ["--dry-run", "serve"], ["--dry-run", "image"], ["--dry-run", "test"]]
    )
    @pytest.mark.parametrize("values", deals([*NAMES, "TORCH_LINKS", "PIP_FIND_LINKS", *INTERNAL]))
    def test_help_and_dry_runs_run_nothing(
        self, checkout: Checkout, place: str, values: dict[str, str], arguments: list[str]
    ):
        shown = self.make(checkout, place, values, *arguments)
        assert "touch ran" not in shown

    @pytest.mark.parametrize("values", deals(INTERNAL))
    def test_names_that_the_makefile_sets_itself_keep_their_meaning(
        self, checkout: Checkout, place: str, values: dict[str, str]
    ):
        self.make(checkout, place, values, "image")
        (call,) = checkout.calls("build.image")
        assert call["words"][2:] == [f"--model={MODEL}", f"--arch={host_arch()}"]

    @pytest.mark.parametrize("attack", ATTACKS[:8])
    def test_links_to_wheels_are_data(self, checkout: Checkout, place: str, attack: str):
        self.make(checkout, place, {"TORCH_LINKS": attack}, "--always-make", ".venv/build/.ready")
        (call,) = checkout.calls("build.host.environment")
        assert call["environment"]["TORCH_LINKS"] == attack


def host_arch() -> str:
    return "arm64" if os.uname().machine in ("aarch64", "arm64") else "amd64"


class TestTargets:
    def test_without_variables_the_default_model_becomes_an_image_for_this_machine(self, checkout: Checkout):
        assert checkout.make("image").returncode == 0
        (call,) = checkout.calls("build.image")
        assert call["words"][2:] == [f"--model={MODEL}", f"--arch={host_arch()}"]
        assert call["environment"]["MAKE_TARGET"] == "image"

    def test_a_bundle_stands_in_for_the_default_model(self, checkout: Checkout):
        assert checkout.make("image", "BUNDLE=bundles/mine").returncode == 0
        (call,) = checkout.calls("build.image")
        assert call["words"][2:] == ["--bundle=bundles/mine", f"--arch={host_arch()}"]

    @pytest.mark.parametrize("value", ["", "PIP_FIND_LINKS"])
    def test_pytorchs_page_is_used_unless_pip_knows_another_place(self, checkout: Checkout, value: str):
        environment = {value: "/wheels"} if value else {}
        assert checkout.make("--always-make", ".venv/build/.ready", **environment).returncode == 0
        (call,) = checkout.calls("build.host.environment")
        assert ("TORCH_LINKS" in call["environment"]) == (not value)

    def test_links_that_are_set_empty_are_none(self, checkout: Checkout):
        assert checkout.make("--always-make", ".venv/build/.ready", "TORCH_LINKS=").returncode == 0
        (call,) = checkout.calls("build.host.environment")
        assert call["environment"]["TORCH_LINKS"] == ""

    def test_variables_that_are_not_given_are_not_made_up(self, checkout: Checkout):
        """A test that starts a program would pass them on."""
        assert checkout.make("bundle").returncode == 0
        (call,) = checkout.calls("build.make_bundle")
        assert not {"MODEL", "BUNDLE", "ARCH", "PRECISION", "PORT", "TORCH_LINKS"} & set(call["environment"])

    def test_cleaning_keeps_bundles(self, checkout: Checkout):
        for name in ("bundles/mine", "kernels/lib", ".image-context"):
            (checkout.home / name).mkdir(parents=True)
        assert checkout.make("clean").returncode == 0
        assert (checkout.home / "bundles" / "mine").is_dir()
        assert not any((checkout.home / name).exists() for name in (".venv", "kernels/lib", ".image-context"))
        assert checkout.make("clean-bundles").returncode == 0
        assert not (checkout.home / "bundles").exists()

    def test_a_machine_without_python_is_told_how_to_get_one(self, checkout: Checkout, tmp_path: Path):
        (tmp_path / "bin").mkdir()
        for name in ("sh", "uname", "make"):
            (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
        for target in ("image", "setup"):
            result = checkout.make("--always-make", target, PATH=str(tmp_path / "bin"), PYTHON="")
            assert result.returncode == 2
            assert result.stderr.splitlines()[0] == (
                "cpu2vec: no Python was found on PATH: run `uv python install 3.13`, "
                'then make with PYTHON="$(uv python find 3.13)"'
            )

    @pytest.mark.parametrize("arguments", [[], ["--always-make"]])
    def test_setup_ends_with_a_word(self, checkout: Checkout, arguments: Sequence[str]):
        result = checkout.make("setup", *arguments)
        assert result.stdout.splitlines()[-1] == "ready: .venv/runtime, .venv/build and the native kernels"

    def test_the_python_that_is_chosen_is_compared_with_that_of_the_environments(self, checkout: Checkout):
        assert checkout.make("setup").returncode == 0
        assert [call["words"][2:] for call in checkout.calls("build.host.environment")] == [["--report-python"]]


class TestHelp:
    @pytest.fixture
    def help(self, checkout: Checkout) -> str:
        return checkout.make("help").stdout

    def test_it_names_the_version(self, help: str):
        assert help.splitlines()[0] == f"cpu2vec {(ROOT / 'VERSION').read_text().strip()}"

    def test_it_lists_every_target_in_columns(self, help: str):
        listed = re.findall(r"^  make (\S+) +", help, re.MULTILINE)
        phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)", MAKEFILE, re.MULTILINE)
        assert phony
        halves = {"test-runtime", "test-build", "test-first-half", "test-second-half"}
        hidden = {"environments", "library", "what-to-compare", "python", *halves}
        assert set(listed) == set(phony[1].replace("\\", "").split()) - hidden
        starts = {match.end() for match in re.finditer(r"^  make \S+ +", help, re.MULTILINE)}
        assert len({end - help.rfind("\n", 0, end) for end in starts}) == 1
        assert max(map(len, help.splitlines())) <= 120

    def test_it_lists_every_variable(self, help: str):
        variables = help.split("\n\n", 1)[1]
        assert {name for options in OPTIONS.values() for name in options} <= set(
            re.findall(r"\b[A-Z][A-Z0-9_]+\b", variables)
        )
        for name in ("PYTHON", "DOCKER_BUILD_ARGS", "HF_TOKEN", "TORCH_LINKS", "PIP_FIND_LINKS"):
            assert name in variables

    def test_its_default_model_is_the_one_that_is_built(self, help: str):
        assert f"({MODEL})" in help
        assert f"override MODEL_BY_DEFAULT := {MODEL}\n" in MAKEFILE


def test_every_variable_that_a_recipe_hands_on_is_tested():
    assert set(re.findall(r"[ ,]([A-Z][A-Z0-9_]*):[a-z]", MAKEFILE)) == set(NAMES)
