"""``make compare`` as a user runs it: real containers on both sides, a verdict, its reasons, and an exit status."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from bench.bundles import unverified_bundle
from build.compare.hypotheses import Cause
from build.compare.variant_bundle import write_variant
from build.fidelity.requests import heldout_texts
from build.fidelity.runtime_process import free_port
from build.precisions import PRECISIONS
from manifest import Layer, LayerKind, Precision, TextModel, read_manifest
from tests.support.bundles.cache import cached
from tests.support.bundles.unverified import unverified
from tests.support.models import tiny_models
from tests.support.models.static_models import byte_level_bpe, own_layout, rows
from tests.support.models.tiny_description import Dense
from tests.support.models.tiny_models import PROMPTS, TinyModel
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.server.server_process import Server, ready
from tests.support.signals import restore_signals

pytestmark = pytest.mark.slow

MODELS = {
    "cls": TinyModel("compared-cls", "bert", "bert", "BertModel", "cls", normalize=True, prompts=PROMPTS),
    "stranger": TinyModel("compared-stranger", "bert", "bert", "BertModel", "cls", normalize=True),
    "dense": TinyModel("compared-dense", "bert", "bert", "BertModel", layers=(Dense(16),), normalize=True),
}
STAGE = re.compile(r"\[(\d)/3\] (embed|measure|explain): .+")
TOKEN = "aVeryPrivateToken0123456789"
LONG = "The ferry to the island leaves at seven in the morning, and the last one back at nine in the evening. " * 3


@pytest.fixture(scope="module")
def bundles() -> dict[str, Path]:
    """The bundles of the models in fp32, by name, without their verification."""
    return {name: cached(f"fp32-{model.name}", partial(_build, model)) for name, model in MODELS.items()}


def _build(model: TinyModel, output: Path) -> None:
    unverified(tiny_models.make(model), output, Precision.FP32)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    short = [text for text in heldout_texts() if 10 < len(text) < 40 and text.isascii()]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join([*short[:40], "", short[0]]) + "\n", encoding="utf-8")
    return file


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts old containers: of a bundle, with settings."""
    with ExitStack() as stack:
        yield lambda bundle, **settings: stack.enter_context(ready(bundle, tmp_path / "old.log", **settings))


@pytest.fixture
def variant(tmp_path: Path) -> Callable[..., Path]:
    """A bundle with another manifest, which an old container is served from."""

    def make(bundle: Path, change: Callable[[TextModel], TextModel]) -> Path:
        manifest = read_manifest(bundle)
        (tmp_path / "variant").mkdir()
        write_variant(bundle, manifest, change(manifest.section), tmp_path / "variant")
        return tmp_path / "variant"

    return make


def command(address: str, bundle: Path, texts: Path, *more: object) -> list[str]:
    options = ["--old", address, "--bundle", str(bundle), "--texts", str(texts), *map(str, more)]
    return [sys.executable, "-W", "error", "-m", "build.compare", *options]


def run(
    server: Server | str, bundle: Path, texts: Path, *more: object, **environment: str
) -> subprocess.CompletedProcess:
    address = server if isinstance(server, str) else f"http://127.0.0.1:{server.port}"
    environment = {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"} | environment
    return subprocess.run(
        command(address, bundle, texts, *more),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def compared(server: Server, bundle: Path, texts: Path, *more: object) -> tuple[str, dict[str, Any]]:
    """The table and the JSON of a run that came to a verdict, which both show, as does the exit status."""
    file = texts.with_name("compared.json")
    result = run(server, bundle, texts, "--json", file, *more)
    value = json.loads(file.read_text(encoding="utf-8"))
    assert result.returncode == {"drop in": 0, "re-import needed": 3}[value["verdict"]], result.stderr
    assert f"\nverdict    {value['verdict']}\nbecause    {value['reasons'][0]}\n" in result.stdout
    assert all(STAGE.fullmatch(line) for line in result.stderr.splitlines()), result.stderr
    assert not set("\r\x1b\x08") & set(result.stdout + result.stderr)
    return result.stdout, value


def causes(value: dict[str, Any]) -> list[str]:
    return [finding["cause"] for finding in value["findings"]]


def message(result: subprocess.CompletedProcess, status: int = 1) -> str:
    """The one line, besides those that announce stages, of a run that failed as it should."""
    assert (result.returncode, result.stdout) == (status, ""), result.stderr
    assert TOKEN not in result.stderr
    lines = [line for line in result.stderr.splitlines() if not STAGE.fullmatch(line)]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("compare: ")
    return lines[0].removeprefix("compare: ")


def test_the_same_bundle_is_a_drop_in(old, bundles, texts: Path):
    table, value = compared(old(bundles["cls"]), bundles["cls"], texts)
    assert value["verdict"] == "drop in"
    assert (value["repeated"], value["figures"]["texts"], value["findings"], value["notes"]) == (1, 40, [], [])
    assert value["figures"]["cosines"]["minimum"] == pytest.approx(1, abs=1e-9)
    assert value["figures"]["overlap"] == {"k": 10, "mixed": 1, "own": 1}
    assert value["request"] == {"pooling_strategy": "masked_mean", "task_type": "passage"}
    assert value["new"]["model"] == read_manifest(bundles["cls"]).model
    assert table.startswith("texts      40 (1 repeated lines left out)\n")
    assert "furthest" not in table


def test_mean_pooling_is_found_out(old, bundles, texts: Path):
    """With its own switch for it, and the new bundle's model pooling by CLS."""
    table, value = compared(old(bundles["cls"], HONOR_POOLING_STRATEGY="1"), bundles["cls"], texts)
    assert value["verdict"] == "re-import needed"
    assert causes(value) == [Cause.MEAN_POOLING]
    assert value["findings"][0]["cosine"] == pytest.approx(1, abs=1e-6)
    assert "\nwhy        mean pooling: the old container uses mean pooling, and this model declares cls (allow" in table
    assert len(re.findall(r"^(?:furthest|        )   0\.\d{4}  \S", table, re.MULTILINE)) == 5


def test_a_collection_that_asks_for_cls_gets_it_from_both(old, bundles, texts: Path):
    server = old(bundles["cls"], HONOR_POOLING_STRATEGY="1")
    _, value = compared(server, bundles["cls"], texts, "--pooling-strategy", "cls")
    assert value["verdict"] == "drop in"


def test_missing_prompts_are_found_out(old, bundles, texts: Path, variant):
    plain = variant(bundles["cls"], lambda text: replace(text, prompts={}, tasks={}, default_prompt=None))
    server = old(plain)
    _, value = compared(server, bundles["cls"], texts)
    assert value["verdict"] == "re-import needed"
    assert causes(value) == [Cause.NO_PROMPT]
    assert "the bundle prepends 'passage: '" in value["findings"][0]["text"]
    _, value = compared(server, bundles["cls"], texts, "--task", "none")
    assert value["verdict"] == "drop in"
    assert value["request"] == {"pooling_strategy": "masked_mean"}


def test_two_causes_are_both_found_out(old, bundles, texts: Path, variant):
    """Without prompts, and with long texts cut off."""
    plain = variant(bundles["cls"], lambda text: replace(text, prompts={}, tasks={}, default_prompt=None))
    with texts.open("a", encoding="utf-8") as file:
        file.writelines(f"{number} {LONG}{number}\n" for number in range(20))
    _, value = compared(old(plain, LONG_TEXT="truncate"), bundles["cls"], texts)
    assert sorted(causes(value)) == sorted([Cause.NO_PROMPT, Cause.TRUNCATION])
    assert value["findings"][1]["cosine"] == pytest.approx(1, abs=1e-6)


def test_another_model_is_found_out(old, bundles, texts: Path):
    _, value = compared(old(bundles["stranger"]), bundles["cls"], texts)
    assert value["verdict"] == "re-import needed"
    assert causes(value) == [Cause.ANOTHER_MODEL]


def test_shorter_vectors_are_found_out(old, bundles, texts: Path, variant):
    def shorten(text: TextModel) -> TextModel:
        (name, encoder), *_ = text.encoders.items()
        layers = (*encoder.layers, Layer(LayerKind.TRUNCATE, size=20))
        return replace(text, dim=20, encoders={name: replace(encoder, layers=layers)})

    table, value = compared(old(variant(bundles["cls"], shorten)), bundles["cls"], texts)
    assert value["verdict"] == "re-import needed"
    assert (value["figures"]["old_dim"], value["figures"]["new_dim"]) == (20, 32)
    assert causes(value) == [Cause.FIRST_COMPONENTS]
    assert "\ncosine     none: the vectors have different sizes\n" in table
    assert "no index accepts both" in table


def test_layers_that_are_left_out_are_found_out(old, bundles, texts: Path, variant):
    def bare(text: TextModel) -> TextModel:
        (name, encoder), *_ = text.encoders.items()
        return replace(text, dim=32, encoders={name: replace(encoder, layers=())})

    _, value = compared(old(variant(bundles["dense"], bare)), bundles["dense"], texts)
    assert value["verdict"] == "re-import needed"
    assert causes(value) == [Cause.NO_LAYERS]


def test_vectors_that_are_not_normalized_drop_in_for_the_distance_cosine(old, bundles, texts: Path, variant):
    def bare(text: TextModel) -> TextModel:
        (name, encoder), *_ = text.encoders.items()
        return replace(text, encoders={name: replace(encoder, layers=())})

    table, value = compared(old(variant(bundles["cls"], bare)), bundles["cls"], texts)
    assert value["verdict"] == "drop in"
    (note,) = value["notes"]
    assert table.endswith(f"\nnote       {note}\n")
    assert "the new vectors have unit length and the others do not" in note


def test_a_static_model_is_compared_too(old, tmp_path: Path, texts: Path):
    """With the limit on long texts that containers have by default, and with another model's vectors."""
    with texts.open("a", encoding="utf-8") as file:
        file.write("the ferry " * 2000 + "river stone " * 2000 + "\n")
    bundle, other = (static_bundle(tmp_path / name, seed) for name, seed in (("one", 0), ("other", 1)))
    _, value = compared(old(bundle), bundle, texts)
    assert value["verdict"] == "drop in"
    assert value["figures"]["cosines"]["minimum"] == pytest.approx(1, abs=1e-9)
    _, value = compared(old(other), bundle, texts)
    assert value["verdict"] == "re-import needed"
    assert causes(value) == [Cause.ANOTHER_MODEL]


def static_bundle(home: Path, seed: int) -> Path:
    """A static model's, in which every letter has a row."""
    tokenizer = byte_level_bpe()
    directory = own_layout(home / "model", tokenizer)
    if seed:
        table = rows(tokenizer.get_vocab_size(), seed=seed)
        save_file({"embeddings": table}, directory / "model.safetensors")
    return unverified_bundle(str(directory), PRECISIONS[Precision.STORED], home / "bundle")


def test_a_token_opens_the_old_container_and_is_never_shown(old, bundles, texts: Path):
    server = old(bundles["cls"], AUTHENTICATION_ALLOWED_TOKENS=TOKEN)
    assert message(run(server, bundles["cls"], texts)).endswith(
        "answered 401: set OLD_TOKEN to a bearer token that it accepts"
    )
    assert "answered 401" in message(run(server, bundles["cls"], texts, OLD_TOKEN="another"))
    file = texts.with_name("out.json")
    result = run(server, bundles["cls"], texts, "--json", file, OLD_TOKEN=TOKEN)
    assert result.returncode == 0, result.stderr
    assert TOKEN not in result.stdout + result.stderr + file.read_text()


def test_a_text_cannot_steer_the_terminal(old, bundles, tmp_path: Path):
    file = tmp_path / "texts.txt"
    file.write_text("\x1b[31mred\x1b[0m\x07 text\nanother\twith a tab\nand a third one\n", encoding="utf-8")
    table, value = compared(old(bundles["stranger"]), bundles["cls"], file)
    assert "?[31mred?[0m? text" in table
    assert "the verdict is based on only 3 texts" in value["notes"][0]


class TestFailures:
    def test_a_container_that_nobody_runs_is_reported(self, bundles, texts: Path):
        address = f"http://127.0.0.1:{free_port()}"
        expected = f"the connection to the old container at {address} failed: Connection refused"
        assert message(run(address, bundles["cls"], texts)) == expected

    def test_an_address_bundle_or_file_that_is_none_is_reported(self, bundles, texts: Path, tmp_path: Path):
        refused = message(run("localhost:8080", bundles["cls"], texts))
        assert refused == "the old container's address must be like http://localhost:8080, not 'localhost:8080'"
        address = f"http://127.0.0.1:{free_port()}"
        assert message(run(address, tmp_path, texts)).endswith("has no manifest.json: not a complete bundle")
        assert "cannot be read: No such file" in message(run(address, bundles["cls"], tmp_path / "none.txt"))
        printed = message(run(address, bundles["cls"], texts, "--json", tmp_path / "none" / "out.json"))
        assert printed == f"{tmp_path}/none/out.json cannot be written: {tmp_path}/none is not a directory"

    def test_a_password_in_an_address_is_not_shown(self, bundles, texts: Path):
        printed = message(run(f"http://me:{TOKEN}@127.0.0.1:{free_port()}", bundles["cls"], texts))
        assert printed == "the old container's address must not hold a password: use a bearer token"

    def test_a_json_that_cannot_be_written_is_reported_below_the_table(self, old, bundles, texts: Path, tmp_path: Path):
        result = run(old(bundles["cls"]), bundles["cls"], texts, "--json", tmp_path)
        assert result.returncode == 1
        assert "\nverdict    drop in\n" in result.stdout
        assert result.stderr.splitlines()[-1] == f"compare: Is a directory: {tmp_path}"

    def test_a_bundle_that_does_not_serve_is_reported(self, old, bundles, texts: Path, variant):
        broken = variant(bundles["cls"], lambda text: text)
        (broken / "tokenizer.json").unlink()
        printed = message(run(old(bundles["cls"]), broken, texts))
        assert printed.startswith("the runtime does not serve the bundle: ")
        assert "tokenizer.json" in printed

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--task=walk"], "--task must be query, passage or none, not 'walk'"),
            (["--pooling-strategy=max"], "--pooling-strategy must be masked_mean or cls, not 'max'"),
            (["--timeout=0"], "--timeout must be a number greater than 0, not '0'"),
            (["--timeout=soon"], "--timeout must be a number greater than 0, not 'soon'"),
            (["surplus"], "unrecognized arguments: surplus"),
        ],
    )
    def test_wrong_arguments_are_named_below_the_usage(self, arguments: list[str], sentence: str, tmp_path: Path):
        result = refused([*command("http://x", tmp_path, tmp_path), *arguments])
        assert result.stderr.startswith("usage: compare ")
        assert result.stderr.splitlines()[-1] == f"compare: error: {sentence}"

    @pytest.mark.parametrize(
        ("given", "missing"), [([], "--old, --bundle, --texts"), (["--old", "http://x"], "--bundle, --texts")]
    )
    def test_missing_arguments_are_named_below_the_usage(self, given: list[str], missing: str):
        result = refused([*command("", Path(), Path())[:5], *given])
        assert result.stderr.splitlines()[-1] == f"compare: error: the following arguments are required: {missing}"


def refused(program: list[str]) -> subprocess.CompletedProcess[str]:
    """A run that ends at its arguments."""
    result = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (result.returncode, result.stdout) == (2, "")
    return result


@contextmanager
def running(program: list[str], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        program, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=restore_signals
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def children_of(pid: int) -> set[int]:
    try:
        return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except (FileNotFoundError, ProcessLookupError):
        return set()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_stops_the_new_container_too(old, bundles, tmp_path: Path, signum: signal.Signals):
    file = tmp_path / "many.txt"
    file.write_text("\n".join(f"{number} {LONG}" for number in range(20_000)))
    program = command(f"http://127.0.0.1:{old(bundles['cls']).port}", bundles["cls"], file)
    with running(program, ROOT) as process:
        deadline = time.monotonic() + PATIENCE
        # NOTE: its server's worker is waited for, so that the server is surely known to the process by then.
        while not (children := {worker for child in children_of(process.pid) for worker in children_of(child)}):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signum)
        deadline = time.monotonic() + PATIENCE
        output, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, output) == (130, "")
        assert errors.splitlines()[-1] == "compare: interrupted: nothing was changed"
        assert "Traceback" not in errors
    # NOTE: who has lost its parent ends by itself, and is seen until then.
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
