"""What ``quantize.py`` writes and prints: a complete bundle and a table, or one line and nothing left behind."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from manifest import (
    MANIFEST_FILE,
    check_files,
    read_manifest,
)
from tests.support.models.tiny_models import write
from tests.support.programs.forks import Forks
from tests.support.quantize import STAGE, assert_nothing_but, message

pytestmark = pytest.mark.slow


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
    result = quantize(model, "--output", output, limit=limit)
    assert message(result).startswith("the disk is full: make room, or choose another --output")
    assert_nothing_but(output.parent)


def mount_is_allowed() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


@contextmanager
def small_disk(directory: Path, kilobytes: int) -> Iterator[Path]:
    """Mount a file system on the directory that one process alone sees; give the process's directory in /proc."""
    script = 'mount -t tmpfs -o size="$1"k none "$2" && echo mounted && read end'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(kilobytes), str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "mounted\n"
        try:
            yield Path(f"/proc/{process.pid}")
        finally:
            process.communicate("end\n")


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
    forks: Forks,
    model: Path,
    environment: dict[str, str],
    tmp_path: Path,
    kilobytes: int,
    precision: str,
    stage: str,
    reason: str,
):
    """Before the work, by the weights; and in the stages, each of which has another library that writes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, kilobytes) as process:
        command = ["quantize.py", model, "--precision", precision, "--output", disk / "out"]
        result = forks.run(command, environment, mounts=process / "ns" / "mnt")
        assert_nothing_but(process / "root" / disk.relative_to("/"))
    assert (result.returncode, result.stdout) == (1, "")
    *announced, last = result.stderr.splitlines()
    assert last.startswith(f"quantize.py: {reason}")
    assert last.endswith("make room, or choose another --output")
    assert STAGE.fullmatch(announced[-1]).group(2) == stage
