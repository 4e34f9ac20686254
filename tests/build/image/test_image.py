"""``make image``: from arguments to docker's command lines, with a docker that only writes down what it was told."""

from __future__ import annotations

import dataclasses
import json
import marshal
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from build.errors import BuildError
from build.image import check_bundle as image_bundle
from build.image import rootfs as image_root
from build.image.__main__ import TAG, default_tag
from build.image.context import build_context, link_files
from build.image.docker import Docker, pip_configuration
from build.image.labels import image_labels, project_version
from manifest import (
    MANIFEST_FILE,
    SCHEMA,
    BundleError,
    CosineFigures,
    Fidelity,
    Kind,
    Manifest,
    Precision,
    Source,
    SourceKind,
    Target,
    bundle_files,
    describe_files,
    write_manifest,
)
from tests.support.bundles.text_models import a_text_model
from tests.support.paths import ROOT

PYC_HEADER = 16
FAKE_DOCKER = """\
#!{python}
import json, os, shutil, signal, sys, time
from pathlib import Path

words = sys.argv[1:]
home = Path({home!r})
if words[0] == "version":
    sys.exit("Cannot connect to the Docker daemon" if (home / "unreachable").exists() else 0)
if words[0] == "image":
    print(123456789)
    sys.exit()
arguments = dict(word.split("=", 1) for option, word in zip(words, words[1:])
                 if option == "--build-arg" and "=" in word)
context = Path(arguments["CONTEXT"]) if "CONTEXT" in arguments else None
files = sorted(str(path.relative_to(context)) for path in context.rglob("*") if path.is_file()) if context else []
output = words[words.index("--output") + 1] if "--output" in words else None
with (home / "calls").open("a") as calls:
    call = dict(words=words, arguments=arguments, files=files, environment=dict(os.environ), output=output)
    calls.write(json.dumps(call) + "\\n")
if (home / "hang").exists():
    time.sleep(60)
if (home / "fail").exists():
    sys.exit(7)
if output:
    shutil.copytree(home / "bundle", output.partition("dest=")[2])
"""


MODEL = a_text_model()


def a_manifest(**changes: object) -> Manifest:
    manifest = Manifest(
        schema=SCHEMA,
        version="1.2.3",
        model="BAAI/bge-small-en-v1.5",
        source=Source(SourceKind.HUB, "c0ffee"),
        licence="mit",
        kind=Kind.TEXT,
        target=Target.ARM64,
        precision=Precision.INT8,
        files={},
        tools={},
        fidelity=Fidelity(CosineFigures(count=240, mean=0.99284812, p1=0.98, minimum=0.97)),
        section=MODEL,
    )
    return dataclasses.replace(manifest, **changes)


def write_bundle(directory: Path, **changes: object) -> Path:
    directory.mkdir(parents=True)
    for name in bundle_files(MODEL):
        (directory / name).write_text(f"content of {name}")
    write_manifest(directory, a_manifest(files=describe_files(directory, MODEL), **changes))
    return directory


class FakeDocker:
    """A directory with a ``docker`` for PATH; ``home/bundle`` is what its export stage makes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "bin").mkdir()
        docker = home / "bin" / "docker"
        docker.write_text(FAKE_DOCKER.format(python=sys.executable, home=str(home)))
        docker.chmod(0o755)
        self.environment = {"PATH": f"{home / 'bin'}:{os.defpath}"}

    def command(self, *arguments: str) -> list[str]:
        # -S: no installed package can be imported, as on a host that has Python and Docker alone.
        return [sys.executable, "-S", "-m", "build.image", *arguments]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=ROOT, env=self.environment | environment, capture_output=True, text=True
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments), cwd=ROOT, env=self.environment, stderr=subprocess.PIPE, text=True
        )

    @property
    def calls(self) -> list[dict]:
        path = self.home / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def assert_nothing_left(self) -> None:
        used = {call["arguments"]["CONTEXT"] for call in self.calls if "CONTEXT" in call["arguments"]}
        used |= {str(Path(call["output"].partition("dest=")[2]).parent) for call in self.calls if call["output"]}
        assert used
        assert not [path for path in used if (ROOT / path).exists()]


@pytest.fixture
def docker(tmp_path: Path) -> FakeDocker:
    home = tmp_path / "fake"
    home.mkdir()
    write_bundle(home / "bundle")
    return FakeDocker(home)


def option(call: dict, name: str) -> list[str]:
    return [word for before, word in zip(call["words"], call["words"][1:], strict=False) if before == name]


def labels_of(call: dict) -> dict[str, str]:
    return dict(word.split("=", 1) for word in option(call, "--label"))


def test_a_hub_model_is_exported_first_and_the_image_made_of_that_bundle(docker: FakeDocker):
    ran = docker.run("--model", "baai/BGE-small-en-v1.5", "--arch", "arm64", "--revision", "v2")
    assert (ran.returncode, ran.stderr) == (0, "")

    export, image = docker.calls
    for call in (export, image):
        assert call["words"][0] == "build"
        assert call["words"][-1] == "."
        assert option(call, "--file") == ["Dockerfile.arm64"]
        assert option(call, "--platform") == ["linux/arm64"]
        assert call["environment"]["DOCKER_BUILDKIT"] == "1"
    assert export["arguments"] == {"MODEL": "baai/BGE-small-en-v1.5", "REVISION": "v2", "PRECISION": "int8"}
    assert option(export, "--target") == ["bundle-from-model"]
    assert export["output"].startswith("type=local,dest=.image-context/")
    assert not option(export, "--tag")

    assert image["arguments"].pop("CONTEXT").startswith(".image-context/")
    assert image["arguments"] == {"BUNDLE_FROM": "context", "MODEL": "BAAI/bge-small-en-v1.5", "PRECISION": "int8"}
    assert image["files"] == sorted(f"bundle/{name}" for name in (*bundle_files(MODEL), MANIFEST_FILE))
    assert option(image, "--tag") == ["cpu2vec:baai-bge-small-en-v1.5-arm64"]
    assert labels_of(image)["cpu2vec.model"] == "BAAI/bge-small-en-v1.5"
    assert labels_of(image) == image_labels(a_manifest(), project_version(ROOT))
    assert "cpu2vec:baai-bge-small-en-v1.5-arm64" in ran.stdout
    assert "123.5 MB" in ran.stdout


def test_thresholds_reach_the_export_stage_alone(docker: FakeDocker):
    asked = ("--min-cosine-mean", "0.9", "--min-cosine-p1", "0.85", "--min-cosine-min", "-0.5")
    assert docker.run("--model", "org/model", "--arch", "arm64", *asked).returncode == 0
    export, image = docker.calls
    told = {"MIN_COSINE_MEAN": "0.9", "MIN_COSINE_P1": "0.85", "MIN_COSINE_MIN": "-0.5"}
    assert {name: value for name, value in export["arguments"].items() if name.startswith("MIN_")} == told
    assert not [name for name in image["arguments"] if name.startswith("MIN_")]


def test_a_threshold_that_is_no_cosine_is_refused_before_any_build(docker: FakeDocker):
    ran = docker.run("--model", "org/model", "--arch", "arm64", "--min-cosine-mean", "98")
    assert ran.returncode == 2
    assert "'98' is not a cosine: give a number from -1 to 1" in ran.stderr
    assert not docker.calls


def test_a_local_model_travels_without_what_a_build_does_not_read(docker: FakeDocker, tmp_path: Path):
    model, blobs = tmp_path / "Mine", tmp_path / "blobs"
    (model / "1_Pooling").mkdir(parents=True)
    blobs.mkdir()
    (blobs / "weights").write_text("weights")
    (model / "model.safetensors").symlink_to(blobs / "weights")  # as in the hub's cache
    for name in ("config.json", "1_Pooling/config.json", "tokenizer.json", "modeling.py", ".env", "optimizer.pt"):
        (model / name).write_text("{}")

    assert docker.run("--model", str(model), "--arch", "arm64").returncode == 0
    export = docker.calls[0]
    assert export["arguments"]["MODEL_FROM"] == "context"
    assert export["arguments"]["MODEL"] == "/models/Mine"
    kept = ["model/1_Pooling/config.json", "model/config.json", "model/model.safetensors", "model/tokenizer.json"]
    assert export["files"] == kept
    docker.assert_nothing_left()

    assert docker.run("--model", str(model), "--arch", "arm64", "--trust-remote-code").returncode == 0
    export = docker.calls[2]
    assert export["arguments"]["TRUST_REMOTE_CODE"] == "1"
    assert "model/modeling.py" in export["files"]


def test_a_bundle_needs_no_export(docker: FakeDocker, tmp_path: Path):
    bundle = write_bundle(tmp_path / "mine", precision=Precision.FP32)
    ran = docker.run("--bundle", str(bundle), "--arch", "arm64", "--tag", "registry.example:5000/a/b:1")
    assert (ran.returncode, ran.stderr) == (0, "")
    (image,) = docker.calls
    assert image["files"] == sorted(f"bundle/{name}" for name in (*bundle_files(MODEL), MANIFEST_FILE))
    assert image["arguments"]["PRECISION"] == "fp32"
    assert option(image, "--tag") == ["registry.example:5000/a/b:1"]
    docker.assert_nothing_left()


def test_secrets_and_passwords_are_on_no_command_line(docker: FakeDocker, tmp_path: Path):
    certificates = tmp_path / "ca.pem"
    certificates.write_text("certificate")
    ran = docker.run(
        *("--model", "org/model", "--arch", "arm64"),
        HF_TOKEN="hf_s3cret",
        HF_ENDPOINT="https://hub.example",
        TORCH_LINKS="",
        PIP_INDEX_URL="https://user:s3cret@wheels.example/simple",
        https_proxy="http://user:s3cret@proxy.example",
        SSL_CERT_FILE=str(certificates),
        DOCKER_BUILD_ARGS="--network host --label 'a=b c'",
    )
    assert ran.returncode == 0
    assert "s3cret" not in ran.stdout + ran.stderr
    for call in docker.calls:
        assert "s3cret" not in json.dumps(call["words"])
        assert option(call, "--build-arg")[-3:] == ["HF_ENDPOINT", "TORCH_LINKS", "https_proxy"]
        assert option(call, "--secret") == [
            "id=hf_token,env=HF_TOKEN",
            "id=pip_conf,env=CPU2VEC_PIP_CONF",
            f"id=ca_certificates,src={certificates}",
        ]
        assert call["environment"]["HF_TOKEN"] == "hf_s3cret"
        assert (
            call["environment"]["CPU2VEC_PIP_CONF"]
            == "[global]\nindex-url =\n  https://user:s3cret@wheels.example/simple\n"
        )
        assert call["words"][-5:] == ["--network", "host", "--label", "a=b c", "."]


def test_a_pip_configuration_names_urls_alone():
    assert pip_configuration({}) == ""
    assert pip_configuration({"PIP_FIND_LINKS": "/opt/wheels", "PIP_EXTRA_INDEX_URL": "file:///opt/simple"}) == ""
    several = {"PIP_EXTRA_INDEX_URL": "https://a.example/x https://b.example/y", "PIP_FIND_LINKS": "https://c.example"}
    assert pip_configuration(several) == (
        "[global]\nextra-index-url =\n  https://a.example/x\n  https://b.example/y\nfind-links =\n  https://c.example\n"
    )


@pytest.mark.parametrize("arguments", [("--model", "./no-such-directory"), ("--bundle", "no-such-directory")])
def test_a_missing_directory_is_one_line(docker: FakeDocker, arguments: tuple[str, str]):
    ran = docker.run(*arguments, "--arch", "arm64")
    assert ran.returncode == 1
    assert ran.stderr.startswith("make image: ")
    assert ran.stderr.endswith("no-such-directory is not a directory\n")
    assert ran.stderr.count("\n") == 1
    assert not docker.calls


def test_a_directory_without_a_model_is_refused_before_any_build(docker: FakeDocker, tmp_path: Path):
    ran = docker.run("--model", str(tmp_path), "--arch", "arm64")
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "has no config.json: not a model directory" in ran.stderr
    assert not docker.calls


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda bundle: (bundle / MANIFEST_FILE).unlink(), "has no manifest.json: not a complete bundle"),
        (
            lambda bundle: (bundle / "model.onnx").write_text("CONTENT of model.onnx"),
            "model.onnx does not have the manifest's sha256",
        ),
        (
            lambda bundle: (bundle / "notes.txt").write_text(""),
            "has a file that does not belong to a bundle: notes.txt",
        ),
    ],
)
def test_a_damaged_bundle_is_refused_before_any_build(docker: FakeDocker, tmp_path: Path, damage, words: str):
    bundle = write_bundle(tmp_path / "mine")
    damage(bundle)
    ran = docker.run("--bundle", str(bundle), "--arch", "arm64")
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert words in ran.stderr
    assert not docker.calls


def test_a_bundle_for_the_other_architecture_is_refused(docker: FakeDocker, tmp_path: Path):
    ran = docker.run("--bundle", str(write_bundle(tmp_path / "mine")), "--arch", "amd64")
    assert ran.returncode == 1
    assert ran.stderr == f"make image: {tmp_path / 'mine'} was built for arm64, and the image is for amd64\n"


def test_without_docker_the_error_says_so(docker: FakeDocker):
    docker.environment["PATH"] = "/nonexistent"
    ran = docker.run("--model", "org/model", "--arch", "amd64")
    assert (ran.returncode, ran.stderr) == (1, "make image: docker is not on PATH: install Docker 20.10 or newer\n")


def test_an_engine_out_of_reach_is_one_line(docker: FakeDocker):
    (docker.home / "unreachable").touch()
    ran = docker.run("--model", "org/model", "--arch", "amd64")
    assert ran.returncode == 1
    expected = "make image: the Docker engine cannot be reached: Cannot connect to the Docker daemon\n"
    assert ran.stderr == expected


def test_a_failed_build_is_a_failure_and_leaves_nothing(docker: FakeDocker):
    (docker.home / "fail").touch()
    ran = docker.run("--model", "org/model", "--arch", "amd64")
    assert ran.returncode == 1
    assert ran.stderr == "make image: docker build failed with status 7: its output above says why\n"
    assert len(docker.calls) == 1
    docker.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_build_leaves_nothing(docker: FakeDocker, number: signal.Signals):
    (docker.home / "hang").touch()
    with docker.start("--model", "org/model", "--arch", "amd64") as process:
        while not docker.calls:
            assert process.poll() is None
            time.sleep(0.02)
        # NOTE: docker tells of its call before the process that called it is back from calling, and able to end it.
        time.sleep(0.5)
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (
        130,
        "make image: interrupted: no image was made, and nothing was left behind\n",
    )
    docker.assert_nothing_left()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"TORCH_LINKS": "https://user:pw@wheels.example/"}, "TORCH_LINKS holds a user or password"),
        ({"HF_ENDPOINT": "https://token@hub.example"}, "HF_ENDPOINT holds a user or password"),
        ({"SSL_CERT_FILE": "/no/such.pem"}, "SSL_CERT_FILE names no file: /no/such.pem"),
        ({"DOCKER_BUILD_ARGS": "--label 'a"}, "DOCKER_BUILD_ARGS cannot be split into words"),
    ],
)
def test_a_bad_environment_is_one_line(docker: FakeDocker, environment: dict[str, str], words: str):
    ran = docker.run("--model", "org/model", "--arch", "amd64", **environment)
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert words in ran.stderr
    assert not docker.calls


def test_an_image_that_the_engine_does_not_have_is_told(tmp_path: Path):
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    with pytest.raises(BuildError, match="the engine has no image a:b"):
        Docker(ROOT, {"PATH": f"{tmp_path}:{os.defpath}"}).image_size("a:b")


def test_help_teaches(docker: FakeDocker):
    said = docker.run("--help").stdout
    for word in (
        "make image MODEL=",
        "BUNDLE=",
        "ARCH=",
        "REVISION=",
        "TAG=",
        "MIN_COSINE_P1=",
        "HF_TOKEN",
        "DOCKER_BUILD_ARGS",
    ):
        assert word in said


@pytest.mark.parametrize("arguments", [(), ("--arch", "amd64"), ("--model", "a", "--bundle", "b", "--arch", "amd64")])
def test_a_model_or_a_bundle_must_be_named(docker: FakeDocker, arguments: tuple[str, ...]):
    assert docker.run(*arguments).returncode == 2


@pytest.mark.parametrize(
    ("model", "tag"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", "cpu2vec:sentence-transformers-all-minilm-l6-v2-arm64"),
        ("my-model", "cpu2vec:my-model-arm64"),
        (".My Model (v2)", "cpu2vec:my-model-v2-arm64"),
        ("模型", "cpu2vec:model-arm64"),
        ("x" * 300, f"cpu2vec:{'x' * 100}-arm64"),
    ],
)
def test_the_default_tag_is_valid_whatever_the_models_name(model: str, tag: str):
    assert default_tag(a_manifest(model=model)) == tag
    assert TAG.fullmatch(tag)


@pytest.mark.parametrize("tag", ["", "two words", "Upper:1", "name:", "name:-x", "--tag", "name:" + "x" * 129])
def test_a_tag_that_docker_would_refuse_after_the_export_is_refused_before(docker: FakeDocker, tag: str):
    ran = docker.run("--model", "org/model", "--arch", "amd64", f"--tag={tag}")
    assert ran.returncode == 1
    assert "which is not a name for an image" in ran.stderr
    assert not docker.calls


def test_labels_say_what_is_in_the_image():
    labels = image_labels(a_manifest(), "v1")
    assert labels["org.opencontainers.image.title"] == "BAAI/bge-small-en-v1.5"
    assert labels["org.opencontainers.image.licenses"] == labels["cpu2vec.licence"] == "mit"
    assert labels["org.opencontainers.image.revision"] == labels["cpu2vec.revision"] == "c0ffee"
    assert labels["org.opencontainers.image.version"] == labels["cpu2vec.version"] == "v1"
    assert labels["org.opencontainers.image.url"].endswith("/BAAI/bge-small-en-v1.5")
    assert (labels["cpu2vec.target"], labels["cpu2vec.precision"]) == ("arm64", "int8")
    assert labels["cpu2vec.fidelity.texts"] == "240"
    assert labels["cpu2vec.fidelity.cosine_mean"] == "0.992848"


def test_what_is_not_known_has_no_label():
    source = Source(SourceKind.DIRECTORY, "sha256:00")
    labels = image_labels(a_manifest(licence=None, fidelity=None, source=source), None)
    absent = ("licen", "url", "version", "fidelity")
    assert not [name for name in labels if any(word in name for word in absent)]


def test_the_version_is_gits_name_for_a_checkout(tmp_path: Path):
    assert project_version(tmp_path) is None


def test_two_builds_at_once_have_their_own_contexts(tmp_path: Path):
    with build_context(tmp_path) as first, build_context(tmp_path) as second:
        assert first != second
        (first / "file").write_text("")
    assert not list((tmp_path / ".image-context").iterdir())


def test_files_are_linked_where_the_file_system_can_and_copied_elsewhere(tmp_path: Path):
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "file").write_text("content")
    link_files(tmp_path / "from", ["file"], tmp_path / "to")
    assert (tmp_path / "to" / "file").samefile(tmp_path / "from" / "file")
    if Path("/dev/shm").stat().st_dev != tmp_path.stat().st_dev:
        elsewhere = Path("/dev/shm") / f"cpu2vec-test-{os.getpid()}"
        try:
            link_files(tmp_path / "from", ["file"], elsewhere)
            assert (elsewhere / "file").read_text() == "content"
        finally:
            shutil.rmtree(elsewhere, ignore_errors=True)


def test_the_image_build_admits_a_sound_bundle_readable_by_everybody(tmp_path: Path):
    bundle = write_bundle(tmp_path / "mine")
    (bundle / "model.onnx").chmod(0o600)
    image_bundle.main([str(bundle), str(tmp_path / "admitted"), "arm64"])
    assert {path.name for path in (tmp_path / "admitted").iterdir()} == {*bundle_files(MODEL), MANIFEST_FILE}
    assert (tmp_path / "admitted" / "model.onnx").stat().st_mode & 0o444 == 0o444


def test_the_image_build_stops_at_a_damaged_bundle(tmp_path: Path):
    bundle = write_bundle(tmp_path / "mine")
    (bundle / "model.onnx").write_text("CONTENT of model.onnx")
    with pytest.raises(SystemExit, match="does not have the manifest's sha256"):
        image_bundle.main([str(bundle), str(tmp_path / "admitted"), "arm64"])
    with pytest.raises(BundleError, match="was built for arm64, and the image is for amd64"):
        image_bundle.check_bundle(bundle, Target.AMD64)


def test_pruning_removes_what_the_table_names(tmp_path: Path):
    for name in ("kept/file", "kept/tests/file", "gone/file", "kept/deep/tests/file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    image_root.prune(tmp_path, (image_root.Unused("unused", ("gone", "**/tests")),))
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == ["kept/file"]


def test_a_row_that_matches_nothing_is_out_of_date(tmp_path: Path):
    with pytest.raises(LookupError, match="«unused»"):
        image_root.prune(tmp_path, (image_root.Unused("unused", ("gone",)),))


def test_compiled_modules_know_their_place_in_the_image(tmp_path: Path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "module.py").write_text("answer = 42\n")
    image_root.compile_below(tmp_path / "app", tmp_path)
    (compiled,) = (tmp_path / "app").rglob("*.pyc")
    assert marshal.loads(compiled.read_bytes()[PYC_HEADER:]).co_filename == "/app/module.py"

    # A source's date or content must not make Python compile again what it cannot write.
    (tmp_path / "app" / "module.py").write_text("broken source")
    command = [sys.executable, "-c", "import module; print(module.answer)"]
    said = subprocess.run(command, cwd=tmp_path / "app", check=True, capture_output=True, text=True)
    assert said.stdout == "42\n"

    with pytest.raises(SyntaxError):
        image_root.compile_below(tmp_path / "app", tmp_path)


class TestRootFiles:
    """What the image's root takes from a base image that is read and never run."""

    @pytest.fixture
    def base(self, tmp_path: Path) -> Path:
        base = tmp_path / "base"
        (base / "var/lib/dpkg/info").mkdir(parents=True)
        (base / "usr/lib/arch").mkdir(parents=True)
        (base / "lib").symlink_to("usr/lib")
        (base / "usr/lib/arch/libc.so.6").write_text("glibc")
        (base / "usr/lib/arch/libz.so.1").symlink_to("libz.so.1.2")
        (base / "var/lib/dpkg/status").write_text(
            "Package: libc6\nStatus: install ok installed\nVersion: 2\n\n"
            "Package: zlib1g\nStatus: install ok installed\nVersion: 1\n\n"
            "Package: libffi8\nStatus: deinstall ok config-files\nVersion: 3\n\n"
            "Package: bash\nStatus: install ok installed\nVersion: 5\n"
        )
        for name in ("libc6", "zlib1g"):
            (base / "usr/share/doc" / name).mkdir(parents=True)
            (base / "usr/share/doc" / name / "copyright").write_text("licence")
        info = base / "var/lib/dpkg/info"
        (info / "libc6:amd64.list").write_text("/.\n/lib\n/lib/arch\n/lib/arch/libc.so.6\n/usr/share/doc/libc6/gone\n")
        (info / "zlib1g:amd64.list").write_text("/.\n/lib\n/lib/arch\n/lib/arch/libz.so.1\n")
        return base

    def test_needed_packages_that_the_base_has_are_copied_with_their_entries(self, base: Path, tmp_path: Path):
        notes = image_root.gather(base, tmp_path / "root")
        assert [note.splitlines()[0] for note in notes] == ["Package: libc6", "Package: zlib1g"]
        files = {path.relative_to(tmp_path / "root").as_posix() for path in (tmp_path / "root").rglob("*")}
        assert files == {"lib", "lib/arch", "lib/arch/libc.so.6", "lib/arch/libz.so.1"}
        assert not (tmp_path / "root/lib").is_symlink()
        assert (tmp_path / "root/lib/arch/libz.so.1").readlink() == Path("libz.so.1.2")

    def test_a_package_whose_licence_the_base_left_out_is_downloaded(self, base: Path, capsys):
        (base / "usr/share/doc/zlib1g/copyright").unlink()
        assert list(image_root.installed(base)) == ["libc6"]
        image_root.main(["missing", str(base), "amd64"])
        assert "zlib1g:amd64" in capsys.readouterr().out.split()

    def test_the_rest_is_named_for_the_target(self, base: Path, capsys: pytest.CaptureFixture[str]):
        image_root.main(["missing", str(base), "arm64"])
        named = capsys.readouterr().out.split()
        assert "libffi8:arm64" in named
        assert "python3.11-minimal:arm64" in named
        assert not [name for name in named if name.startswith(("libc6", "zlib1g", "bash"))]
