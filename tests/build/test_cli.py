"""``quantize.py`` as a user runs it: one line for every expected failure, and nothing left behind."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from build import cli
from build.bundle.staging import staging_dir
from build.fidelity.runtime_process import RUNTIME_PYTHON
from build.fidelity.thresholds import OPTIONS
from manifest import (
    MANIFEST_FILE,
    Golden,
    Precision,
    Source,
    SourceKind,
    Target,
    check_files,
    from_json,
    read_manifest,
)
from tests.support.models import tiny_models
from tests.support.models.tiny_description import Dense
from tests.support.models.tiny_models import TinyModel, change, write
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.server import hub_server
from tests.support.signals import restore_signals

pytestmark = pytest.mark.slow

TINY = TinyModel("tiny", "bert", "bert", "BertModel", normalize=True, prompts={"query": "query: "})
WITH_DENSE = TinyModel("with-dense", "bert", "bert", "BertModel", layers=(Dense(16),))
TOKEN = "hf_aVeryPrivateToken0123456789"
STAGE = re.compile(r"\[(\d)(?:/8)?\] (fetch|describe|export|calibrate|quantize|optimize|package|verify): .+")
FLAGS = [option.flag for option in OPTIONS]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def quantize(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: object, python: object = sys.executable, limit: int | None = None, **more: str):
        def limit_files() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.run(
            [str(python), "quantize.py", *map(str, arguments)],
            cwd=ROOT,
            env=environment | more,
            preexec_fn=limit_files,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_models.copy(TINY, tmp_path / "model")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "bundles").mkdir()
    return tmp_path / "bundles" / "tiny"


def message(result: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """The one line, beside those that announce stages, of a run that failed as it should."""
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not STAGE.fullmatch(line)]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("quantize.py: ")
    return lines[0].removeprefix("quantize.py: ")


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
        (["a", "--precision=int4"], "--precision must be int8, int8-stock or fp32, not 'int4'"),
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
    assert "error: --precision must be int8, int8-stock or fp32, not 'int4'\n" in result.stderr


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


def test_a_directory_that_does_not_exist_is_named(quantize, tmp_path: Path):
    assert message(quantize(tmp_path / "nothing")) == f"{tmp_path}/nothing is not a directory"
    assert message(quantize("./no/such/model")) == f"{ROOT}/no/such/model is not a directory"
    assert message(quantize("no-such-model/")) == f"{ROOT}/no-such-model is not a directory"


def test_a_directory_that_holds_no_model_is_named(quantize, tmp_path: Path):
    assert message(quantize(tmp_path)) == f"{tmp_path} has neither config.json nor modules.json: not a model directory"
    write(tmp_path / "config.json", {"model_type": "bert"})
    assert message(quantize(tmp_path)) == "the model has no weights: model.safetensors is missing"


def test_a_model_that_the_hub_cannot_be_asked_for_is_named(quantize):
    assert message(quantize("no-such-org/no-such-model")).startswith(
        "offline (HF_HUB_OFFLINE is set), and no-such-org/"
    )
    gone = quantize("no-such-org/no-such-model", HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")
    assert message(gone).startswith("the hub cannot be reached for no-such-org/no-such-model")
    wrong = quantize("not a model", HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")
    assert message(wrong) == "'not a model' is neither a directory nor a model id on the hub"


def test_an_unsupported_architecture_is_named(quantize, model: Path):
    change(model / "config.json", lambda c: c.update(model_type="bart", architectures=["BartModel"]))
    assert message(quantize(model)).startswith("the architecture BartModel is not supported; supported encoders: ")


def test_code_that_a_model_brings_wants_to_be_trusted(quantize, model: Path):
    change(model / "config.json", lambda c: c.update(auto_map={"AutoModel": "modeling.Model"}))
    write(model / "modeling.py", "raise SystemExit('the code of the model ran')")
    assert "pass --trust-remote-code" in message(quantize(model))


def test_a_commit_of_code_wants_the_code_to_be_trusted(quantize, model: Path):
    said = message(quantize(model, f"--code-revision={'0' * 40}"))
    assert said.startswith(f"--code-revision {'0' * 40} needs --trust-remote-code")


def test_a_revision_of_a_directory_is_refused(quantize, model: Path, output: Path):
    said = message(quantize(model, "--revision=v2", "--output", output))
    assert said.startswith(f"--revision v2 selects a version on the hub, and {model} is on this machine")
    assert_nothing_but(output.parent)


def test_code_that_is_trusted_decides_the_vectors(quantize, model: Path, output: Path):
    change(model / "config.json", lambda c: c.update(auto_map={"AutoModel": "modeling.Model"}))
    write(
        model / "modeling.py",
        "from transformers import BertModel\n\n\n"
        "class Model(BertModel):\n"
        "    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, return_dict=True):\n"
        "        output = super().forward(input_ids, attention_mask, token_type_ids)\n"
        "        output.last_hidden_state = output.last_hidden_state.abs()\n"
        "        return output\n",
    )
    result = quantize(model, "--output", output, "--precision", "fp32", "--trust-remote-code")
    assert result.returncode == 0, result.stderr
    assert read_manifest(output).fidelity.cosine.minimum >= 1 - 1e-6
    golden = from_json(Golden, (output / "golden.json").read_text(), "golden.json")
    assert all(min(request.answer["vector"]) >= 0 for request in golden.requests)


def test_pickled_weights_are_refused(quantize, model: Path):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    said = message(quantize(model))
    assert said.startswith("the model's weights are pickled (pytorch_model.bin)")
    assert "--allow-pickle" in said


def test_pickled_weights_that_are_allowed_give_the_same_vectors(quantize, tmp_path: Path, output: Path):
    model = tiny_models.copy(WITH_DENSE, tmp_path / "model")
    assert quantize(model, "--output", f"{output}-safe", "--precision", "fp32").returncode == 0
    for path in list(model.rglob("model.safetensors")):
        torch.save(load_file(path), path.with_name("pytorch_model.bin"))
        path.unlink()
    result = quantize(model, "--output", output, "--precision", "fp32", "--allow-pickle")
    assert result.returncode == 0, result.stderr
    for name in ("model.onnx.data", "head.npz"):
        assert (output / name).read_bytes() == (Path(f"{output}-safe") / name).read_bytes()


class Malicious:
    """A pickle that makes a file when it is loaded without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("folder", ["", "2_Dense"])
def test_a_pickle_that_would_run_code_is_refused_even_where_pickles_are_allowed(
    quantize, tmp_path: Path, output: Path, folder: str
):
    model, mark = tiny_models.copy(WITH_DENSE, tmp_path / "model"), tmp_path / "the-code-ran"
    path = model / folder / "model.safetensors"
    torch.save(load_file(path) | {"more": Malicious(mark)}, path.with_name("pytorch_model.bin"))
    path.unlink()
    message(quantize(model, "--output", output, "--allow-pickle"))
    assert not mark.exists()
    assert not output.exists()


def test_an_output_that_exists_is_refused_before_any_work(quantize, model: Path, output: Path):
    output.mkdir()
    result = quantize(model, "--output", output)
    assert message(result) == f"{output} exists already: pass --force to replace it, or choose another --output"
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--force"], ["--force", "--arch=both"]])
def test_force_replaces_nothing_that_is_not_a_bundle(quantize, model: Path, output: Path, arguments: list[str]):
    """Nor is there advice to force it."""
    existing = output.with_name(f"{output.name}-arm64") if "--arch=both" in arguments else output
    existing.mkdir()
    (existing / "thesis.txt").write_text("mine")
    result = quantize(model, "--output", output, *arguments)
    assert message(result) == f"{existing} exists already and is not a bundle: choose another --output"
    assert result.stderr.count("\n") == 1
    assert (existing / "thesis.txt").read_text() == "mine"
    assert_nothing_but(output.parent, existing.name)


@pytest.mark.parametrize(("below", "relation"), [("", "is"), ("..", "contains"), ("bundle", "is inside")])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_an_output_never_touches_the_models_directory(
    quantize, model: Path, below: str, relation: str, force: list[str]
):
    before = sorted(model.rglob("*"))
    output = model / below
    result = quantize(model, "--output", output, *force)
    assert message(result) == f"{output} {relation} the model's directory: choose another --output"
    assert sorted(model.rglob("*")) == before


def test_an_output_that_is_a_file_is_not_replaced_even_by_force(quantize, model: Path, output: Path):
    output.write_text("keep")
    said = message(quantize(model, "--output", output, "--force"))
    assert said == f"{output} exists already and is not a directory: choose another --output"
    assert output.read_text() == "keep"


def test_an_output_below_a_file_is_told_in_the_systems_words(quantize, model: Path, output: Path):
    output.write_text("keep")
    assert str(output) in message(quantize(model, "--output", output / "below"))
    assert output.read_text() == "keep"


def assert_nothing_but(folder: Path, *names: str) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_a_bundle_is_made_with_plain_lines_and_the_table_alone_on_standard_output(quantize, model: Path, output: Path):
    result = quantize(model, "--output", output)
    assert result.returncode == 0, result.stderr
    assert all(STAGE.fullmatch(line) for line in result.stderr.splitlines()), result.stderr
    announced = [STAGE.fullmatch(line).group(1) for line in result.stderr.splitlines()]
    assert announced == [number for number in "12345678" for _ in range(2)]
    assert not set("\r\x1b\x08") & set(result.stdout + result.stderr)
    table = dict(re.split(" {2,}", line, maxsplit=1) for line in result.stdout.splitlines())
    assert next(iter(table)) == "model"
    assert table["dim"] == "32"
    assert table["max_tokens"] == "48"
    assert table["pooling"] == "mean, normalized"
    assert table["prompts"] == "query 'query: '"
    assert "mean 0.99" in table["fidelity"]
    assert table["required"] == "mean 0.995, 1st percentile 0.985, minimum 0.97: passed"
    assert table["report"] == f"{output}/fidelity.html"
    assert table["output"] == str(output)
    assert table["serve"] == f"make serve BUNDLE={output}"
    check_files(output, read_manifest(output), hashes=True)
    assert_nothing_but(output, MANIFEST_FILE, *read_manifest(output).files)
    assert_nothing_but(output.parent, output.name)


def test_a_bundle_below_a_threshold_is_not_delivered_and_what_to_do_is_said(quantize, model: Path, output: Path):
    said = message(quantize(model, "--output", output, "--min-cosine-mean", "1", "--min-cosine-min", "0.5"))
    assert re.search("is too far from the original on CPUs of the class '[^']+', by cosines on 240 held-out and ", said)
    assert re.search(r"texts: mean 0\.99\d+ \(required: 1\): build with --precision fp32, or lower the threshold", said)
    assert len(re.findall(r"0\.99\d{4} '", said.partition("worst texts: ")[2])) == 3
    assert_nothing_but(output.parent)


def test_a_threshold_that_is_lowered_knowingly_is_what_the_bundle_is_held_to(quantize, model: Path, output: Path):
    result = quantize(model, "--output", output, "--min-cosine-p1", "0")
    assert result.returncode == 0, result.stderr
    assert "1st percentile 0, minimum 0.97: passed" in result.stdout
    report = json.loads((output / "fidelity.json").read_text())
    assert report["cosine"]["thresholds"] == {"mean": 0.995, "minimum": 0.97, "p1": 0}


def test_force_replaces_what_is_there_and_what_a_killed_build_left(quantize, model: Path, output: Path):
    output.mkdir()
    write(output / "manifest.json", {"schema": 1, "files": {"old": {}}})
    (output / "old").write_text("old")
    partial = output.parent / f".{output.name}.partial"
    (partial / "bundle").mkdir(parents=True)
    result = quantize(model, "--output", output, "--precision", "fp32", "--force")
    assert result.returncode == 0, result.stderr
    assert_nothing_but(output, MANIFEST_FILE, *read_manifest(output).files)
    assert_nothing_but(output.parent, output.name)


@pytest.mark.parametrize("limit", [0, 2_000, 60_000])
def test_a_file_that_may_not_grow_is_a_full_disk(quantize, model: Path, output: Path, limit: int):
    result = quantize(model, "--output", output, limit=limit, PYTHONDONTWRITEBYTECODE="1")
    assert message(result).startswith("the disk is full: make room, or choose another --output")
    assert_nothing_but(output.parent)


def mount_is_allowed() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(not mount_is_allowed(), reason="mounting a small file system is not allowed here")
@pytest.mark.parametrize(
    ("kilobytes", "precision", "stage", "reason"),
    [
        (60, "int8", "describe", "the model has 0.1 MB of weights in fp32, so a build needs 0.2 MB of disk"),
        (250, "int8", "quantize", "the disk is full"),
        (250, "fp32", "optimize", "the disk is full"),
    ],
)
def test_a_disk_that_is_too_small_is_told_as_such(
    model: Path, environment: dict[str, str], tmp_path: Path, kilobytes: int, precision: str, stage: str, reason: str
):
    """Before the work, by the weights; and in the stages, each of which has another library that writes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size="$1"k none "$2" && "$3" quantize.py "$4" --precision "$5" --output "$2/out"; '
        'echo $? "$(ls -A "$2")"'
    )
    arguments = [str(kilobytes), str(disk), sys.executable, str(model), precision]
    command = ["unshare", "--mount", "sh", "-c", script, "sh", *arguments]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    *announced, last = result.stderr.splitlines()
    assert last.startswith(f"quantize.py: {reason}")
    assert last.endswith("make room, or choose another --output")
    assert STAGE.fullmatch(announced[-1]).group(2) == stage
    assert result.stdout == "1 \n"


def at_once(output: Path) -> bool:
    return True


def writes_a_graph(output: Path) -> bool:
    """Whether the export has begun to write."""
    return any(staging_dir(output).rglob("*.onnx*"))


def runtimes_that_serve(output: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"BUNDLE_DIR={output.parent}".encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("line", "begun"),
    [
        ("describe: done", at_once),
        ("describe: done", writes_a_graph),
        ("export: ", at_once),
        ("verify: ", runtimes_that_serve),
    ],
)
def test_an_interrupted_build_leaves_nothing_behind(
    environment: dict[str, str],
    output: Path,
    signum: signal.Signals,
    line: str,
    begun: Callable[[Path], object],
    model: Path,
):
    process = subprocess.Popen(
        [sys.executable, "quantize.py", str(model), "--output", str(output)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restore_signals,
    )
    seen = []
    while line not in (seen[-1] if seen else ""):
        seen.append(process.stderr.readline())
        assert seen[-1], seen
    while not begun(output):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signum)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, stderr
    assert stdout == ""
    rest = [said for said in stderr.splitlines() if not STAGE.fullmatch(said)]
    assert rest == ["quantize.py: interrupted: nothing was left behind"]
    assert_nothing_but(output.parent)
    assert runtimes_that_serve(output) == []


def test_a_bundle_from_the_hub_is_that_of_the_directory_but_for_its_source(quantize, output: Path, tmp_path: Path):
    with hub_server.running_hub() as hub:
        repository = hub_server.Repository(hub_server.files_of(tiny_models.make(TINY)))
        hub.repositories["org/public"] = repository
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0"}
        result = quantize("org/public", "--revision", "main", "--output", output, "--precision", "fp32", **environment)
    assert result.returncode == 0, result.stderr
    local = tmp_path / "local"
    result = quantize(tiny_models.make(TINY), "--output", local, "--precision", "fp32")
    assert result.returncode == 0, result.stderr
    downloaded, expected = read_manifest(output), read_manifest(local)
    assert downloaded.source == Source(SourceKind.HUB, repository.commit, requested="main")
    shown = {"model": expected.model, "source": expected.source, "files": expected.files}
    assert dataclasses.replace(downloaded, **shown) == expected
    for name in expected.files:
        if name != "fidelity.html":  # It shows the model's name.
            assert (output / name).read_bytes() == (local / name).read_bytes(), name


def test_a_token_reaches_the_hub_and_no_file_or_line(quantize, output: Path, tmp_path: Path):
    with hub_server.running_hub() as hub:
        files = hub_server.files_of(tiny_models.make(TINY))
        hub.repositories["org/private"] = hub_server.Repository(files, token=TOKEN)
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN}
        result = quantize("org/private", "--output", output, "--precision", "fp32", **environment)
    assert result.returncode == 0, result.stderr
    assert {request.token for request in hub.seen if request.host == "127.0.0.1"} == {TOKEN}
    assert TOKEN not in result.stdout + result.stderr
    for path in (*output.rglob("*"), *(tmp_path / "cache").rglob("*")):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


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
    assert cli.default_output(model, None, Precision.INT8, Target.ARM64) == Path(f"bundles/{name}-int8-arm64")
    assert cli.default_output(model, "v2", Precision.INT8, Target.ARM64) == Path(f"bundles/{name}-v2-int8-arm64")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_a_library_makes_an_error_of_is_still_one(
    signum: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """As modules in C++ do while they are imported."""

    def build_bundle(*_: object) -> None:
        try:
            signal.raise_signal(signum)
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr("build.pipeline.build_bundle", build_bundle)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        assert cli.main(["any/model"]) == 130
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert capsys.readouterr().err == "quantize.py: interrupted: nothing was left behind\n"
