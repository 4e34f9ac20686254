"""make bundle and make serve: which bundle is meant, when it is built, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from build.fidelity.runtime_process import free_port
from build.model.default_model import MODEL
from manifest import Precision, Target, read_manifest
from tests.support.json_files import change, write
from tests.support.models import tiny_models
from tests.support.models.tiny_models import TinyModel
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.programs.forks import Forks
from tests.support.server.stub_container import always, serving

pytestmark = pytest.mark.slow

TINY = TinyModel("tiny-bundle", "bert", "bert", "BertModel")
COMMIT, ANOTHER = "c0ffee" + "0" * 34, "decade" + "0" * 34
PROGRAM = ("-m", "build.make_bundle")
COMMAND = (sys.executable, *PROGRAM)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "MAKE_TARGET": "bundle"}


@pytest.fixture
def make(tmp_path: Path, environment: dict[str, str], forks: Forks):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forks.run([*PROGRAM, *arguments], environment, directory=tmp_path)

    return run


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """What looks like a bundle, as far as it is looked at."""
    bundle = tmp_path / "bundles" / "mine"
    bundle.mkdir(parents=True)
    source = {"kind": "hub", "revision": "5617a9f6", "requested": "v1", "code_revision": COMMIT}
    write(bundle / "manifest.json", {"model": "BAAI/bge-m3", "source": source, "precision": "fp32", "target": "arm64"})
    return bundle


def refusal(result: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """The one line of a run that failed as it should."""
    assert (result.returncode, result.stdout) == (status, ""), result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("make bundle: ")
    return line.removeprefix("make bundle: ")


def test_a_bundle_that_does_not_exist_is_not_built_from_the_default_model(make, tmp_path: Path):
    said = refusal(make("--bundle=bundles/my-modle"))
    assert said == "BUNDLE must be an existing bundle, not 'bundles/my-modle': to build one there, set MODEL too"
    assert list(tmp_path.iterdir()) == []


CODE = ["--trust-remote-code", f"--code-revision={COMMIT.upper()}"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--model=BAAI/bge-m3"],
        ["--model=baai/bge-m3", "--precision=fp32"],
        ["--revision=v1", "--arch=aarch64"],
        CODE,
    ],
)
def test_a_bundle_that_exists_is_found(make, bundle: Path, arguments: list[str]):
    result = make("--bundle=bundles/mine", *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "bundles/mine exists. If its model has changed, delete it to have it built again.\n"


@pytest.mark.parametrize(
    ("argument", "wanted", "found"),
    [
        ("--model=BAAI/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5", "BAAI/bge-m3"),
        ("--model=./bge-m3", "bge-m3", "BAAI/bge-m3"),
        ("--revision=v2", "v2", "v1"),
        ("--precision=int8", "int8", "fp32"),
        ("--arch=x86_64", "amd64", "arm64"),
    ],
)
def test_a_bundle_of_something_else_is_refused(make, bundle: Path, argument: str, wanted: str, found: str):
    said = refusal(make("--bundle=bundles/mine", argument))
    assert said == f"bundles/mine is a bundle of {found}, not of {wanted}: set BUNDLE to another directory"


PAIR = ("--model=org/texts", "--image-model=org/images")


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """What looks like a bundle of two models, where a build would have put it."""
    bundle = tmp_path / "bundles" / "org-texts-org-images-images-v1-int8-arm64"
    bundle.mkdir(parents=True)
    source = {"model": "org/images", "revision": "5617a9f6", "requested": "v1"}
    header = {"model": "org/texts + org/images", "kind": "clip", "precision": "int8", "target": "arm64"}
    write(bundle / "manifest.json", header | {"clip": {"image": {"source": source}}})
    return bundle


def test_a_pair_is_found_by_both_models_and_the_revision_of_each(make, tmp_path: Path, pair: Path):
    result = make(*PAIR, "--image-revision=v1", "--arch=arm64")
    assert result.stdout.startswith(f"{pair.relative_to(tmp_path)} exists."), result.stderr


@pytest.mark.parametrize(
    ("arguments", "wanted", "found"),
    [
        (["--model=org/texts"], "org/texts", "org/texts + org/images"),
        (["--model=org/texts", "--image-model=org/others"], "org/texts + org/others", "org/texts + org/images"),
        ([*PAIR, "--image-revision=v2"], "v2", "v1"),
    ],
)
def test_a_bundle_of_another_pair_is_refused(make, pair: Path, arguments: list[str], wanted: str, found: str):
    said = refusal(make(f"--bundle=bundles/{pair.name}", *arguments))
    assert said == f"bundles/{pair.name} is a bundle of {found}, not of {wanted}: set BUNDLE to another directory"


def named(home: Path, kind: str, precision: str) -> Path:
    """What looks like a bundle of a kind, where a build would have put it."""
    bundle = home / "bundles" / f"org-mine-{precision}-arm64"
    bundle.mkdir(parents=True)
    write(bundle / "manifest.json", {"model": "org/mine", "kind": kind, "precision": precision, "target": "arm64"})
    return bundle


@pytest.mark.parametrize(("kind", "precision"), [("text", "int8"), ("static", "stored")])
def test_without_a_precision_the_kinds_own_is_found(make, tmp_path: Path, kind: str, precision: str):
    bundle = named(tmp_path, kind, precision)
    result = make("--model=org/mine", "--arch=arm64")
    assert result.stdout.startswith(f"{bundle.relative_to(tmp_path)} exists."), result.stderr


def test_another_precision_of_a_static_model_is_found_by_its_name_alone(make, tmp_path: Path):
    other, own = named(tmp_path, "static", "int8"), named(tmp_path, "static", "stored")
    assert make("--model=org/mine", "--arch=arm64").stdout.startswith(f"{own.relative_to(tmp_path)} exists.")
    result = make("--model=org/mine", "--arch=arm64", "--precision=int8")
    assert result.stdout.startswith(f"{other.relative_to(tmp_path)} exists.")


def test_a_bundle_made_with_other_code_is_refused(make, bundle: Path):
    said = refusal(make("--bundle=bundles/mine", "--trust-remote-code", f"--code-revision={ANOTHER}"))
    assert said == (
        f"bundles/mine is a bundle of code of {COMMIT}, not of code of {ANOTHER}: set BUNDLE to another directory"
    )


def test_a_bundle_made_without_code_from_elsewhere_is_refused(make, bundle: Path):
    change(bundle / "manifest.json", lambda manifest: manifest["source"].update(code_revision=None))
    said = refusal(make("--bundle=bundles/mine", *CODE))
    assert said == (
        f"bundles/mine is a bundle of code of no other repository, not of code of {COMMIT}: "
        "set BUNDLE to another directory"
    )


def test_a_commit_of_code_that_may_not_run_is_refused(make, bundle: Path):
    said = refusal(make("--bundle=bundles/mine", f"--code-revision={COMMIT}"))
    assert said.startswith(f"--code-revision {COMMIT} needs --trust-remote-code, which lets a model's code run: ")


def test_a_revision_of_a_model_on_this_machine_is_refused_before_any_work(make, tmp_path: Path):
    said = refusal(make("--model=./my-model", "--revision=v2"))
    assert said == "--revision v2 selects a version on the hub, and ./my-model is on this machine: leave --revision out"
    said = refusal(make("--model=org/model", "--image-revision=v2"))
    assert said.startswith("--image-revision v2 selects a version of --image-model, and there is none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", "{", '{"source": 1}'])
def test_a_manifest_that_cannot_be_read_is_left_to_the_server(make, bundle: Path, content: str):
    (bundle / "manifest.json").write_text(content)
    assert make("--bundle=bundles/mine", "--model=BAAI/bge-m3").returncode == 0


def test_a_directory_that_is_not_a_bundle_is_kept(make, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    said = refusal(make("--bundle=mine", f"--model={MODEL}"))
    assert said == "mine exists and is not a bundle: move it away, or set BUNDLE to another directory"
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--arch=mips", "ARCH must be amd64 or arm64, not 'mips'"),
        ("--arch=both", "ARCH must be amd64 or arm64, not 'both'"),
        ("--precision=int4", "PRECISION must be int8, int8-stock, fp32 or stored, not 'int4'"),
        ("--port=0", "PORT must be a whole number from 1 to 65535, not '0'"),
        ("--port=65536", "PORT must be a whole number from 1 to 65535, not '65536'"),
        ("--port=http", "PORT must be a whole number from 1 to 65535, not 'http'"),
        ("--code-revision=main", "CODE_REVISION must be a commit of 40 hexadecimal digits, not 'main'"),
        ("--allow-pickle=maybe", "ALLOW_PICKLE must be 1, true, yes, on, 0, false, no or off, not 'maybe'"),
    ],
)
def test_a_wrong_value_is_refused_before_any_work(make, argument: str, sentence: str):
    assert refusal(make(argument), status=2) == sentence


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A bundle that was built from a directory with a space in its name, and how."""
    home = tmp_path_factory.mktemp("make bundle")
    tiny_models.copy(TINY, home / "my tiny model")
    environment = {"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": str(ROOT), "MAKE_TARGET": "bundle"}
    arguments = ("--model=./my tiny model", "--precision=fp32", "--arch=aarch64")
    result = forks.run([*PROGRAM, *arguments], environment, directory=home)
    return home / "bundles" / "my-tiny-model-fp32-arm64", result


def test_a_bundle_that_is_not_there_is_built_and_named_after_what_it_is(built):
    bundle, result = built
    assert result.returncode == 0, result.stderr
    name = "bundles/my-tiny-model-fp32-arm64"
    assert result.stderr.startswith(f"building {name} from ./my tiny model: a minute or less for small models\n")
    assert result.stdout.endswith(f"make serve BUNDLE={name}\n")
    manifest = read_manifest(bundle)
    assert (manifest.precision, manifest.target) == (Precision.FP32, Target.ARM64)


def test_it_is_found_again(built, environment: dict[str, str]):
    bundle, _ = built
    command = [*COMMAND, "--model=./my tiny model", "--precision=fp32", "--arch=arm64"]
    result = subprocess.run(command, cwd=bundle.parents[1], env=environment, capture_output=True, text=True)
    assert result.stdout.startswith("bundles/my-tiny-model-fp32-arm64 exists."), result.stderr


@contextmanager
def serve(bundle: Path, environment: dict[str, str], port: int) -> Iterator[subprocess.Popen[str]]:
    """make serve, in a process group of its own, as a terminal has it."""
    with subprocess.Popen(
        [*COMMAND, f"--bundle={bundle}", "--serve", f"--port={port}"],
        cwd=ROOT,
        env=environment | {"PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as server:
        yield server


def hint(port: int) -> str:
    return f"""ready; try it:\n  curl http://localhost:{port}/vectors -d '{{"text": "hello world"}}' | head -c 300\n"""


def test_how_to_try_a_server_is_said_once_it_is_ready(built, environment: dict[str, str]):
    bundle, _ = built
    port = free_port()
    with serve(bundle, environment, port) as server:
        assert server.stdout
        assert server.stdout.readline() == f"serving {bundle}\n"
        assert server.stdout.readline() + server.stdout.readline() == hint(port)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/.well-known/ready") as answer:
            assert answer.status == 204
        server.terminate()


@pytest.mark.parametrize("reached", [os.kill, os.killpg], ids=["the process", "the group, as by Ctrl-C"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_that_was_started(
    built, environment: dict[str, str], reached: Callable[[int, int], None], number: signal.Signals
):
    """Standard output is closed once nothing is left that could write to it."""
    bundle, _ = built
    port = free_port()
    with serve(bundle, environment, port) as server:
        assert server.stdout
        while not server.stdout.readline().startswith("ready"):
            assert server.poll() is None
        reached(server.pid, number)
        assert server.wait(PATIENCE) == 0
        assert server.stdout.read() == hint(port).splitlines(keepends=True)[1]


def test_a_port_that_is_taken_is_not_announced_as_this_server(built, environment: dict[str, str]):
    bundle, _ = built
    with serving(always(204, b"")) as (address, _), serve(bundle, environment, int(address.split(":")[2])) as server:
        said, _ = server.communicate(timeout=PATIENCE)
    assert server.returncode != 0
    assert said == f"serving {bundle}\n"
