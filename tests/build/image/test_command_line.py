"""``make image``, from arguments to docker's command lines."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from build.image.labels import describe_project, image_labels
from build.model.files import CONFIG, TOKENIZER, WEIGHTS
from manifest import MANIFEST_FILE, Fidelity, Precision, ScoreFigures, Source, SourceKind
from tests.support.image.fake_docker import FakeDocker, a_manifest, bundle_in_context, write_bundle
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

BGE = "cpu2vec:baai-bge-small-en-v1.5-v2-int8-arm64"
REQUESTED = Source(SourceKind.HUB, "c0ffee", requested="v2")
UNEXPLAINED = "the image was not built: docker build ended with status 7, see above"


@pytest.fixture
def docker(tmp_path: Path) -> FakeDocker:
    home = tmp_path / "fake"
    home.mkdir()
    write_bundle(home / "bundle", source=REQUESTED)
    return FakeDocker(home)


def test_a_hub_model_is_exported_first_and_the_image_made_from_that_bundle(docker: FakeDocker):
    ran = docker.run("--model", "baai/BGE-small-en-v1.5", "--arch", "arm64", "--revision", "v2")
    assert (ran.returncode, ran.stderr) == (0, "")

    export, image = docker.calls
    for call in (export, image):
        assert call.words[0] == "build"
        assert call.words[-1] == "."
        assert call.option("--file") == ["Dockerfile.arm64"]
        assert call.option("--platform") == ["linux/arm64"]
        assert call.environment["DOCKER_BUILDKIT"] == "1"
    assert export.arguments == {"MODEL": "baai/BGE-small-en-v1.5", "REVISION": "v2"}
    assert export.option("--target") == ["bundle-from-model"]
    assert export.output is not None
    assert export.output.startswith("type=local,dest=.image-context/")
    assert not export.option("--tag")

    assert image.arguments.pop("CONTEXT").startswith(".image-context/")
    assert image.arguments == {"BUNDLE_FROM": "context", "MODEL": "BAAI/bge-small-en-v1.5", "PRECISION": "int8"}
    assert image.files == bundle_in_context()
    assert image.option("--tag") == [BGE]
    assert image.labels == image_labels(a_manifest(source=REQUESTED), describe_project(ROOT))


def test_a_commit_of_code_reaches_the_export_stage_alone(docker: FakeDocker):
    given = ("--trust-remote-code", f"--code-revision={'a' * 40}")
    assert docker.run("--model", "org/model", "--arch", "arm64", *given).returncode == 0
    export, image = docker.calls
    assert (export.arguments["TRUST_REMOTE_CODE"], export.arguments["CODE_REVISION"]) == ("1", "a" * 40)
    assert not {"TRUST_REMOTE_CODE", "CODE_REVISION"} & set(image.arguments)


def test_the_summary_says_what_was_built_and_how_to_run_it(docker: FakeDocker):
    ran = docker.run("--model", "baai/BGE-small-en-v1.5", "--arch", "arm64", "--revision", "v2")
    assert ran.stdout.splitlines() == [
        f"image      {BGE}",
        "model      BAAI/bge-small-en-v1.5, int8 for arm64",
        "kind       text",
        "size       123.5 MB, including 0.0 MB for the bundle",
        "fidelity   mean cosine 0.9928, minimum 0.9700 to the original model, on 240 texts",
        f"run it     docker run --rm -it --read-only --cap-drop=ALL -p 8080:8080 {BGE}",
    ]


def test_the_summary_has_the_figures_that_the_bundle_has(docker: FakeDocker, tmp_path: Path):
    scores = ScoreFigures(544, error_mean=0.01, error_max=0.1, error_rms=0.02, rank_agreement=0.98765, top_kept=1.0)
    bundle = write_bundle(tmp_path / "mine", fidelity=Fidelity(scores=scores))
    ran = docker.run("--bundle", str(bundle), "--arch", "arm64")
    figures = "fidelity   Kendall's tau 0.9877, best documents kept 100.0%, on 544 pairs"
    assert [line for line in ran.stdout.splitlines() if line.startswith("fidelity")] == [figures]


def test_thresholds_only_reach_the_export_stage(docker: FakeDocker):
    given = ("--min-cosine-mean", "0.9", "--min-cosine-p1", "0.85", "--min-cosine-min", "-0.5")
    assert docker.run("--model", "org/model", "--arch", "arm64", *given).returncode == 0
    export, image = docker.calls
    expected = {"MIN_COSINE_MEAN": "0.9", "MIN_COSINE_P1": "0.85", "MIN_COSINE_MIN": "-0.5"}
    assert {name: value for name, value in export.arguments.items() if name.startswith("MIN_")} == expected
    assert not [name for name in image.arguments if name.startswith("MIN_")]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--min-cosine-mean", "98"),
        ("--arch", "mips"),
        ("--precision", "int4"),
        ("--trust-remote-code", "maybe"),
        ("--allow-pickle", "2"),
    ],
)
def test_a_value_that_is_not_accepted_is_refused_before_any_build(docker: FakeDocker, option: str, value: str):
    ran = docker.run("--model", "org/model", "--arch", "arm64", f"{option}={value}", MAKE_TARGET="image")
    variable = option.removeprefix("--").upper().replace("-", "_")
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"make image: {variable} ")
    assert repr(value) in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not docker.calls


def test_a_local_model_travels_without_files_that_a_build_does_not_read(docker: FakeDocker, tmp_path: Path):
    model, blobs = tmp_path / "models--my--mine/snapshots/Mine", tmp_path / "models--my--mine/blobs"
    (model / "1_Pooling").mkdir(parents=True)
    blobs.mkdir()
    (blobs / "weights").write_text("weights")
    (model / "model.safetensors").symlink_to("../../blobs/weights")  # as in the hub's cache
    for name in ("config.json", "1_Pooling/config.json", "tokenizer.json", "modeling.py", ".env", "optimizer.pt"):
        (model / name).write_text("{}")

    assert docker.run("--model", str(model), "--arch", "arm64").returncode == 0
    export = docker.calls[0]
    assert export.arguments["MODEL_FROM"] == "context"
    assert export.arguments["MODEL"] == "/models/model/Mine"
    kept = [f"models/model/Mine/{name}" for name in ("1_Pooling/config.json", CONFIG, WEIGHTS, TOKENIZER)]
    assert export.files == kept
    docker.assert_nothing_left()

    assert docker.run("--model", str(model), "--arch", "arm64", "--trust-remote-code").returncode == 0
    export = docker.calls[2]
    assert export.arguments["TRUST_REMOTE_CODE"] == "1"
    assert "models/model/Mine/modeling.py" in export.files


def test_a_model_may_be_a_router_without_a_config_at_the_top(docker: FakeDocker, tmp_path: Path):
    folder = tmp_path / "router" / "query_0_Transformer"
    folder.mkdir(parents=True)
    for path in (tmp_path / "router" / "modules.json", folder / "config.json", folder / "model.safetensors"):
        path.write_text("{}")
    assert docker.run("--model", str(tmp_path / "router"), "--arch", "arm64").returncode == 0
    assert "models/model/router/query_0_Transformer/model.safetensors" in docker.calls[0].files


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (("MODEL", "IMAGE_MODEL"), {"MODEL": "/models/model/same", "IMAGE_MODEL": "/models/image_model/same"}),
        (("MODEL",), {"MODEL": "/models/model/same", "IMAGE_MODEL": "org/images"}),
        (("IMAGE_MODEL",), {"MODEL": "org/texts", "IMAGE_MODEL": "/models/image_model/same"}),
        ((), {"MODEL": "org/texts", "IMAGE_MODEL": "org/images"}),
    ],
    ids=["both here", "texts here", "images here", "both on the hub"],
)
def test_two_models_travel_apart(docker: FakeDocker, tmp_path: Path, local: tuple[str, ...], expected: dict[str, str]):
    given = {"MODEL": "org/texts", "IMAGE_MODEL": "org/images"}
    for name in local:
        folder = tmp_path / name / "same"
        folder.mkdir(parents=True)
        for file in (CONFIG, WEIGHTS):
            (folder / file).write_text("{}")
        given[name] = str(folder)
    options = ("--model", given["MODEL"], "--image-model", given["IMAGE_MODEL"])
    assert docker.run(*options, "--arch", "arm64").returncode == 0
    export = docker.calls[0]
    assert {name: export.arguments[name] for name in given} == expected
    assert export.arguments.get("MODEL_FROM", "hub") == ("context" if local else "hub")
    where = [f"models/{name.lower()}/same/{file}" for name in local for file in (CONFIG, WEIGHTS)]
    assert sorted(export.files) == sorted(where)
    docker.assert_nothing_left()


def test_each_of_two_models_has_its_revision(docker: FakeDocker):
    options = ("--model=org/texts", "--image-model=org/images", "--revision=v1", "--image-revision=v3")
    assert docker.run(*options, "--arch", "arm64").returncode == 0
    export, image = docker.calls
    assert (export.arguments["REVISION"], export.arguments["IMAGE_REVISION"]) == ("v1", "v3")
    assert "IMAGE_REVISION" not in image.arguments


def test_a_bundle_needs_no_export(docker: FakeDocker, tmp_path: Path):
    bundle = write_bundle(tmp_path / "mine", precision=Precision.FP32)
    ran = docker.run("--bundle", str(bundle), "--arch", "arm64", "--tag", "registry.example:5000/a/b:1")
    assert (ran.returncode, ran.stderr) == (0, "")
    (image,) = docker.calls
    assert image.files == bundle_in_context()
    assert image.arguments["PRECISION"] == "fp32"
    assert image.option("--tag") == ["registry.example:5000/a/b:1"]
    docker.assert_nothing_left()


def test_what_a_bundle_is_made_from_names_the_image(docker: FakeDocker, tmp_path: Path):
    bundle = write_bundle(tmp_path / "mine", precision=Precision.FP32, source=REQUESTED)
    given = ("--precision", "int8", "--revision", "v3")
    assert docker.run("--bundle", str(bundle), "--arch", "arm64", *given).returncode == 0
    assert docker.calls[0].option("--tag") == ["cpu2vec:baai-bge-small-en-v1.5-v2-fp32-arm64"]


@pytest.mark.parametrize("arguments", [("--model", "./no-such-directory"), ("--bundle", "no-such-directory")])
def test_a_missing_directory_is_one_line(docker: FakeDocker, arguments: tuple[str, str]):
    ran = docker.run(*arguments, "--arch", "arm64")
    assert ran.returncode == 1
    assert ran.stderr.startswith("build.image: ")
    assert ran.stderr.endswith("no-such-directory is not a directory\n")
    assert ran.stderr.count("\n") == 1
    assert not docker.calls


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--revision=v2",), "--revision v2 selects a version on the hub, and ./my-model is on this machine"),
        ((f"--code-revision={'a' * 40}",), f"--code-revision {'a' * 40} needs --trust-remote-code"),
        (("--image-revision=v2",), "--image-revision v2 selects a version of --image-model, and there is none"),
        (
            ("--image-model=./my-clip", "--image-revision=v2"),
            "--image-revision v2 selects a version on the hub, and ./my-clip is on this machine",
        ),
    ],
)
def test_a_revision_without_effect_is_refused_before_any_build(
    docker: FakeDocker, arguments: tuple[str, ...], words: str
):
    ran = docker.run("--model", "./my-model", "--arch", "arm64", *arguments)
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert ran.stderr.startswith(f"build.image: {words}")
    assert not docker.calls


def test_a_link_out_of_the_model_is_refused_before_any_build(docker: FakeDocker, tmp_path: Path):
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).write_text("{}")
    (tmp_path / "credentials").write_text("[default]")
    (model / "vocab.txt").symlink_to("../credentials")
    ran = docker.run("--model", str(model), "--arch", "arm64")
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "vocab.txt is a link that leads out of the model's directory" in ran.stderr
    assert not docker.calls


def test_a_directory_without_a_model_is_refused_before_any_build(docker: FakeDocker, tmp_path: Path):
    ran = docker.run("--model", str(tmp_path), "--arch", "arm64")
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "has neither config.json nor modules.json: not a model directory" in ran.stderr
    assert not docker.calls


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda bundle: (bundle / MANIFEST_FILE).unlink(), "has no manifest.json: not a complete bundle"),
        (
            lambda bundle: (bundle / "model.onnx").write_text("CONTENT of model.onnx"),
            "does not have the manifest's sha256",
        ),
        (
            lambda bundle: (bundle / "notes.txt").write_text(""),
            "a file that does not belong to a bundle: notes.txt",
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
    ran = docker.run("--bundle", str(write_bundle(tmp_path / "mine")), "--arch", "amd64", MAKE_TARGET="image")
    assert ran.returncode == 1
    assert ran.stderr == f"make image: {tmp_path / 'mine'} must be a bundle for amd64, not for arm64\n"


def test_without_docker_the_error_says_so(docker: FakeDocker):
    docker.environment["PATH"] = "/nonexistent"
    ran = docker.run("--model", "org/model", "--arch", "amd64")
    assert (ran.returncode, ran.stderr) == (1, "build.image: docker is not on PATH: install Docker 20.10 or newer\n")


def test_an_unreachable_engine_is_one_line(docker: FakeDocker):
    (docker.home / "unreachable").touch()
    ran = docker.run("--model", "org/model", "--arch", "amd64")
    assert ran.returncode == 1
    expected = "build.image: the Docker engine cannot be reached: Cannot connect to the Docker daemon\n"
    assert ran.stderr == expected


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", UNEXPLAINED),
        ("#9 ERROR: no space left on device\n", UNEXPLAINED),
        (
            "#21 [export 6/6] RUN build.image.export_model\n"
            "#21 3.142 [1/8] fetch: org/model\n"
            "#21 4.567 quantize.py: the hub has no model org/model\n"
            "------\n4.567 quantize.py: the hub has no model org/model\n------\nERROR: failed to solve\n",
            "the image was not built: the hub has no model org/model",
        ),
        (
            "2.2 cpu2vec: model.onnx is not what the manifest says\nERROR: failed to solve\n",
            "the image was not built: model.onnx is not what the manifest says",
        ),
    ],
)
def test_a_failed_build_ends_with_its_reason_and_leaves_nothing(docker: FakeDocker, output: str, reason: str):
    (docker.home / "fail").write_text(output)
    ran = docker.run("--model", "org/model", "--arch", "amd64")
    assert ran.returncode == 1
    assert ran.stderr == f"{output}build.image: {reason}\n"
    assert len(docker.calls) == 1
    docker.assert_nothing_left()


def waits_for_docker(process: subprocess.Popen[str]) -> bool:
    """Whether the process has started docker and sleeps until it ends: it has closed every pipe but docker's output."""
    state = Path(f"/proc/{process.pid}/status").read_text().partition("State:\t")[2][0]
    pipes = [link for link in Path(f"/proc/{process.pid}/fd").iterdir() if os.readlink(link).startswith("pipe:")]
    return state == "S" and len(pipes) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_build_leaves_nothing(docker: FakeDocker, number: signal.Signals):
    (docker.home / "hang").touch()
    with docker.start("--model", "org/model", "--arch", "amd64") as process:
        while not (docker.calls and waits_for_docker(process)):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (
        130,
        "build.image: interrupted: no image was made, and nothing was left behind\n",
    )
    docker.assert_nothing_left()


@pytest.mark.parametrize("tag", ["", "two words", "Upper:1", "name:", "name:-x", "--tag", "name:" + "x" * 129])
def test_a_tag_that_docker_would_refuse_after_the_export_is_refused_before_it(docker: FakeDocker, tag: str):
    ran = docker.run("--model", "org/model", "--arch", "amd64", f"--tag={tag}")
    assert ran.returncode == 1
    assert ran.stderr == f"build.image: TAG must be the name of an image, such as cpu2vec:my-model, not {tag!r}\n"
    assert not docker.calls


def test_help_names_the_variables(docker: FakeDocker):
    text = docker.run("--help").stdout
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
        assert word in text


@pytest.mark.parametrize("arguments", [(), ("--arch", "amd64"), ("--model", "a", "--bundle", "b", "--arch", "amd64")])
def test_a_model_or_a_bundle_must_be_named(docker: FakeDocker, arguments: tuple[str, ...]):
    assert docker.run(*arguments).returncode == 2
