"""The workflows are valid, ask for little, call what exists here, and their scripts do what they say."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from build.host.check import WITH_WHEELS
from build.image.bases import BUILD_BASE, RUNTIME_BASES
from build.model.default_model import MODEL
from build.names import MAX_LENGTH, image_tag
from manifest import Precision, Target
from tests.support.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LINT = ROOT / ".venv" / "lint" / "bin"
BASH = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail")
"""How GitHub starts what has `shell: bash`."""


def read(name: str) -> dict[str, Any]:
    """Every scalar as the string that is written there; with YAML 1.1's types, the key `on` would be True."""
    return yaml.load((ROOT / ".github" / "workflows" / name).read_text(), yaml.BaseLoader)


TEST, IMAGES, BASES = read("test.yml"), read("images.yml"), read("bases.yml")
JOBS = {(path.stem, name): job for path in WORKFLOWS for name, job in read(path.name)["jobs"].items()}
STEPS = [
    pytest.param(step, id="-".join((*names, str(number))))
    for names, job in JOBS.items()
    for number, step in enumerate(job["steps"])
]
RUNS = [step for step in STEPS if "run" in step.values[0]]


PLANNED = {
    "MODEL": MODEL,
    "REVISION": "",
    "PRECISION": "int8",
    "TAG": "",
    "REGISTRY": "ghcr.io",
    "IMAGE": "Owner/cpu2vec",
}
"""What the plan gets without inputs, in Owner's repository."""


def step_of(workflow: dict[str, Any], job: str, name: str) -> dict[str, Any]:
    return next(step for step in workflow["jobs"][job]["steps"] if step["name"] == name)


def tracked(pattern: str) -> list[Path]:
    """Of the repository."""
    names = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.splitlines()]


def succeeds(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
def test_they_are_valid(schema: str):
    succeeds(LINT / "check-jsonschema", "--builtin-schema", schema, *WORKFLOWS)


def test_updates_are_proposed_for_every_kind_of_dependency():
    path = ROOT / ".github" / "dependabot.yml"
    succeeds(LINT / "check-jsonschema", "--builtin-schema", "vendor.dependabot", path)
    updates = {entry["package-ecosystem"]: entry for entry in yaml.safe_load(path.read_text())["updates"]}
    assert set(updates) == {"github-actions", "pip", "docker"}
    folders = {f"/{file.parent.relative_to(ROOT)}".rstrip(".") for file in tracked("*requirements.in")}
    assert set(updates["pip"]["directories"]) == folders


def test_images_are_built_again_with_the_updates_of_the_week():
    (schedule,) = IMAGES["on"]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \d", schedule["cron"])


def test_what_is_pushed_is_attested_by_its_digest():
    attested = [
        step["with"] for step in JOBS["images", "build"]["steps"] if step.get("uses", "").startswith("actions/attest@")
    ]
    subject = {
        "subject-name": "${{ needs.plan.outputs.repository }}",
        "subject-digest": "${{ steps.push.outputs.digest }}",
        "push-to-registry": "true",
    }
    assert attested == [{**subject, "sbom-path": "sbom.json"}, subject]
    assert step_of(IMAGES, "build", "List the contents")["run"] == "make sbom > sbom.json"


def test_zizmor_finds_nothing():
    succeeds(LINT / "zizmor", "--offline", "--pedantic", "--strict-collection", "--no-progress", *WORKFLOWS)


def test_every_action_is_pinned_to_a_commit_that_has_a_version():
    pattern = r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for use in re.findall(r"uses: (.*)", path.read_text()):
            assert re.fullmatch(pattern, use)
            pins.setdefault(use.split("@")[0], set()).add(use)
    assert all(len(versions) == 1 for versions in pins.values())


def test_a_job_gets_the_permissions_that_it_uses_and_no_others():
    assert TEST["permissions"] == IMAGES["permissions"] == BASES["permissions"] == {}
    assert {names: job.get("permissions", {}) for names, job in JOBS.items()} == {
        ("test", "test"): {"contents": "read"},
        ("images", "plan"): {},
        ("images", "build"): {
            "contents": "read",
            "packages": "write",
            "id-token": "write",
            "attestations": "write",
        },
        ("images", "join"): {"contents": "read", "packages": "write"},
        ("bases", "build"): {
            "contents": "read",
            "packages": "write",
            "id-token": "write",
            "attestations": "write",
        },
        ("bases", "join"): {"contents": "read", "packages": "write"},
    }


@pytest.mark.parametrize("step", STEPS)
def test_checkouts_leave_no_credentials_behind(step: dict[str, Any]):
    if step.get("uses", "").startswith("actions/checkout@"):
        assert step["with"]["persist-credentials"] == "false"


@pytest.mark.parametrize("step", RUNS)
def test_scripts_are_valid_and_get_values_through_the_environment_only(step: dict[str, Any]):
    assert "${{" not in step["run"]
    subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True)


@pytest.mark.parametrize("step", RUNS)
def test_make_targets_and_variables_exist(step: dict[str, Any]):
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\S+)", step["run"], re.MULTILINE)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    if targets:
        assert all(re.search(rf"[ ,(]{name}\b[:)]", makefile) for name in step["env"])


def test_both_workflows_call_make():
    assert step_of(TEST, "test", "Test")["run"] == "make test"
    assert step_of(IMAGES, "build", "Build")["run"] == "make image"


class TestTest:
    def test_it_runs_for_pushes_and_pull_requests(self):
        assert set(TEST["on"]) == {"push", "pull_request"}

    def test_it_runs_on_every_supported_python(self):
        versions = [f"{major}.{minor}" for major, minor in WITH_WHEELS]
        assert TEST["jobs"]["test"]["strategy"]["matrix"]["python"] == versions

    def test_the_python_of_the_matrix_is_the_one_that_make_takes(self):
        step = step_of(TEST, "test", "Test")
        assert step["env"] == {"PYTHON": "${{ steps.python.outputs.python-path }}"}
        command = ["make", "--dry-run", "--always-make", ".venv/lint/.ready"]
        environment = {"PATH": os.environ["PATH"], "PYTHON": "/opt/python3.13/bin/python"}
        planned = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        assert "/opt/python3.13/bin/python -m build.host.environment lint" in planned.stdout

    def test_the_cache_is_keyed_by_every_file_of_pins(self):
        setup = step_of(TEST, "test", "Set up Python")
        pins = {
            str(path.relative_to(ROOT))
            for folder in (ROOT, ROOT / "build", ROOT / "tests")
            for path in folder.glob("*requirement*.txt")
        }
        assert setup["with"]["cache"] == "pip"
        assert set(setup["with"]["cache-dependency-path"].split()) == pins


class TestPlan:
    def run(self, tmp_path: Path, **values: str) -> tuple[int, dict[str, str]]:
        step = step_of(IMAGES, "plan", "Check and complete the inputs")
        assert set(step["env"]) == {*PLANNED, "LC_ALL"}
        output = tmp_path / "output"
        output.touch()
        environment = {"PATH": os.environ["PATH"], "LC_ALL": step["env"]["LC_ALL"], "GITHUB_OUTPUT": str(output)}
        command = [*BASH, "-c", step["run"]]
        done = subprocess.run(command, env=environment | PLANNED | values, capture_output=True, text=True)
        return done.returncode, dict(line.split("=", 1) for line in output.read_text().splitlines())

    def test_the_default_is_the_default_model_in_int8(self, tmp_path: Path):
        assert self.run(tmp_path) == (
            0,
            {
                "model": "sentence-transformers/all-MiniLM-L6-v2",
                "revision": "",
                "precision": "int8",
                "registry": "ghcr.io",
                "repository": "ghcr.io/owner/cpu2vec",
                "tag": "sentence-transformers-all-minilm-l6-v2-int8",
            },
        )
        assert f"'{MODEL}'" in step_of(IMAGES, "plan", "Check and complete the inputs")["env"]["MODEL"]

    def test_later_jobs_get_all_of_it(self, tmp_path: Path):
        assert set(IMAGES["jobs"]["plan"]["outputs"]) == set(self.run(tmp_path)[1])

    @pytest.mark.parametrize("precision", Precision)
    @pytest.mark.parametrize("revision", ["", "v2", "C0FFEE_1.x"])
    @pytest.mark.parametrize("model", [MODEL, "BAAI/bge-m3", "a", "org/A.b_c--d.", "o" * 50 + "/" + "m" * 40])
    def test_tags_are_those_of_make_image(self, tmp_path: Path, model: str, revision: str, precision: Precision):
        """The build job adds the architecture; the tag without one joins them."""
        status, outputs = self.run(tmp_path, MODEL=model, REVISION=revision, PRECISION=precision)
        assert status == 0
        for target in Target:
            assert f"cpu2vec:{outputs['tag']}-{target}" == image_tag(model, revision, precision, target)

    def test_a_tag_that_make_image_would_shorten_ends_it(self, tmp_path: Path):
        longest = "o" * 95 + "/" + "m" * 21
        assert self.run(tmp_path, MODEL=longest)[0] == 0
        assert len(image_tag(longest, "", "int8", "arm64").partition(":")[2]) == MAX_LENGTH
        assert self.run(tmp_path, MODEL=f"{longest}m")[0] == 1
        assert self.run(tmp_path, MODEL=f"{longest}m", TAG="mine")[0] == 0

    def test_a_given_tag_is_taken_as_it_is(self, tmp_path: Path):
        assert self.run(tmp_path, TAG="Mine_1.0", PRECISION="fp32")[1]["tag"] == "Mine_1.0"

    def test_another_registry_may_have_a_port(self, tmp_path: Path):
        _, outputs = self.run(tmp_path, REGISTRY="registry.example:5000", IMAGE="a/b/c")
        assert (outputs["registry"], outputs["repository"]) == (
            "registry.example:5000",
            "registry.example:5000/a/b/c",
        )

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("MODEL", "$(shell touch pwned)"),
            ("MODEL", "a'; touch pwned; '"),
            ("MODEL", "a/b/c"),
            ("MODEL", "/etc"),
            ("MODEL", "../x"),
            ("MODEL", "--help"),
            ("MODEL", "é/x"),
            ("MODEL", "a\nrevision=b"),
            ("REVISION", "a b"),
            ("REVISION", "-x"),
            ("PRECISION", "int4"),
            ("TAG", "a:b"),
            ("TAG", "a" * 123),
            ("REGISTRY", "ghcr.io/evil"),
            ("REGISTRY", "-ghcr.io"),
            ("IMAGE", "a b"),
            ("IMAGE", ""),
        ],
    )
    def test_what_is_no_plain_word_ends_it(self, tmp_path: Path, name: str, value: str):
        status, outputs = self.run(tmp_path, **{name: value})
        assert status == 1
        assert "tag" not in outputs

    def test_precisions_are_those_of_the_bundle(self):
        assert IMAGES["on"]["workflow_dispatch"]["inputs"]["precision"]["options"] == list(Precision)

    def test_the_registry_is_no_input(self):
        assert set(IMAGES["on"]["workflow_dispatch"]["inputs"]) == {"model", "revision", "precision", "tag"}


class TestImages:
    """The scripts run with a `docker` that notes its arguments."""

    @pytest.fixture
    def docker(self, tmp_path: Path) -> Path:
        """A folder for PATH; `calls` beside the program holds a line for each call."""
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir()
        program.write_text(
            "#!/bin/sh\n"
            f'echo "$*" >> {tmp_path}/calls\n'
            'case "$1 $3" in image*) echo registry.example/a@sha256:1234 ;; login*) cat > /dev/null ;;\n'
            '"buildx inspect") echo sha256:0123456789abcdef ;; esac\n'
        )
        program.chmod(0o755)
        return program.parent

    def run(self, docker: Path, step: dict[str, Any], **values: str) -> tuple[list[str], str]:
        """The calls of docker, and what went to GITHUB_OUTPUT."""
        output = docker.parent / "output"
        output.touch()
        path = f"{docker}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "GITHUB_OUTPUT": str(output), **values}
        subprocess.run([*BASH, "-c", step["run"]], cwd=ROOT, env=environment, check=True)
        return (docker.parent / "calls").read_text().splitlines(), output.read_text()

    def test_every_architecture_is_built_on_a_machine_of_its_own(self):
        rows = IMAGES["jobs"]["build"]["strategy"]["matrix"]["include"]
        assert {row["arch"]: row["runner"] for row in rows} == {
            Target.AMD64: "ubuntu-24.04",
            Target.ARM64: "ubuntu-24.04-arm",
        }
        assert len(rows) == len(Target)

    def test_make_gets_all_that_was_asked_for(self, tmp_path: Path):
        step = step_of(IMAGES, "build", "Build")
        values = {"MODEL": "a/b", "REVISION": "r1", "PRECISION": "fp32", "ARCH": "arm64", "TAG": "registry.example/i:t"}
        assert set(step["env"]) == {*values, "PYTHON"}
        python = tmp_path / "python"
        python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        python.chmod(0o755)
        environment = {"PATH": os.environ["PATH"], "PYTHON": str(python), **values}
        called = subprocess.run(
            ["make", "image"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        words = called.stdout.split("build.image\n")[1].splitlines()
        assert sorted(words) == sorted(f"--{name.lower()}={value}" for name, value in values.items())

    def test_an_image_is_tried_before_there_are_credentials_and_pushed_after_that(self):
        names = [step["name"] for step in IMAGES["jobs"]["build"]["steps"]]
        attested = ["List the contents", "Attest the contents", "Attest the provenance"]
        assert names[-7:] == ["Build", "Try", "Log in", "Push", *attested]

    @pytest.mark.parametrize("job", ["build", "join"])
    def test_the_token_goes_to_githubs_registry_alone_and_no_password_to_the_command_line(self, docker: Path, job: str):
        step = step_of(IMAGES, job, "Log in")
        assert step["env"]["PASSWORD"] == (
            "${{ needs.plan.outputs.registry == 'ghcr.io' && github.token || secrets.REGISTRY_PASSWORD }}"
        )
        calls, _ = self.run(docker, step, REGISTRY="ghcr.io", USERNAME="me", PASSWORD="s3cret")
        assert calls == ["login ghcr.io --username me --password-stdin"]

    def test_pushing_notes_the_digest_under_the_architecture(self, docker: Path):
        step = step_of(IMAGES, "build", "Push")
        calls, output = self.run(docker, step, IMAGE="registry.example/a:t-arm64", ARCH="arm64")
        assert calls[0] == "push --quiet registry.example/a:t-arm64"
        assert output == "arm64=sha256:1234\ndigest=sha256:1234\n"
        assert set(IMAGES["jobs"]["build"]["outputs"]) == set(Target)

    @pytest.mark.parametrize("tag", ["t", "t" * 122])
    def test_the_architectures_are_joined_by_digest_under_a_name_and_by_content(self, docker: Path, tag: str):
        step = step_of(IMAGES, "join", "Join the architectures under tags by name and by content")
        digests = {target.name: f"sha256:{target}" for target in Target}
        calls, _ = self.run(docker, step, REPOSITORY="registry.example/a", TAG=tag, **digests)
        sources = " ".join(f"registry.example/a@sha256:{target}" for target in Target)
        by_content = f"{tag[:100]}-{(ROOT / 'VERSION').read_text().strip()}-0123456789ab"
        digest = "registry.example/a@sha256:0123456789abcdef"
        assert calls == [
            f"buildx imagetools create --tag registry.example/a:{tag} {sources}",
            f"buildx imagetools inspect --format {{{{.Manifest.Digest}}}} registry.example/a:{tag}",
            f"buildx imagetools create --tag registry.example/a:{by_content} {digest}",
        ]
        assert len(by_content) <= MAX_LENGTH


class TestBases:
    """With a docker that writes down how it is called."""

    @staticmethod
    def run(step: dict[str, Any], directory: Path, **environment: str) -> list[str]:
        (directory / "bin").mkdir()
        docker = directory / "bin" / "docker"
        docker.write_text(
            f'#!/bin/sh\necho "$*" >> {directory}/calls\n'
            'case "$*" in *Manifest.Digest*) ;; *) printf registry/name@ ;; esac\necho sha256:0123456789abcdef\n'
        )
        docker.chmod(0o755)
        environment |= {"PATH": f"{directory}/bin:{os.defpath}", "GITHUB_OUTPUT": str(directory / "output")}
        subprocess.run([*BASH, "-c", step["run"]], cwd=ROOT, env=environment, check=True)
        return (directory / "calls").read_text().splitlines()

    def test_an_image_is_pushed_by_its_version_and_noted_by_its_digest(self, tmp_path: Path):
        version = (ROOT / "VERSION").read_text().strip()
        step = step_of(BASES, "build", "Push")
        calls = self.run(step, tmp_path, REPOSITORY="ghcr.io/Owner/cpu2vec-runtime", ARCH="arm64")
        image = f"ghcr.io/owner/cpu2vec-runtime:{version}-arm64"
        assert calls[0] == f"push --quiet {image}"
        noted = ["name=ghcr.io/owner/cpu2vec-runtime", f"image={image}", "digest=sha256:0123456789abcdef"]
        assert (tmp_path / "output").read_text().splitlines() == noted

    def test_the_architectures_get_tags_by_version_and_by_content(self, tmp_path: Path):
        step = step_of(BASES, "join", "Join the architectures under tags by version and by content")
        calls = self.run(step, tmp_path, REPOSITORY="ghcr.io/Owner/cpu2vec-build")
        tag = f"ghcr.io/owner/cpu2vec-build:{(ROOT / 'VERSION').read_text().strip()}"
        assert calls == [
            f"buildx imagetools create --tag {tag} {tag}-amd64 {tag}-arm64",
            f"buildx imagetools inspect --format {{{{.Manifest.Digest}}}} {tag}",
            f"buildx imagetools create --tag {tag}-0123456789ab {tag}",
        ]

    def test_both_jobs_know_every_base(self):
        names = [BUILD_BASE, *(base.name for base in RUNTIME_BASES)]
        assert [job["strategy"]["matrix"]["image"] for job in BASES["jobs"].values()] == [names, names]
