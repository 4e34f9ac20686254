"""A bundle of native ops through the real server: vectors, many texts at once, what it says, what stops it."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from build.fidelity.runtime_process import ROOT
from manifest import MANIFEST_FILE, OpSet, Target
from runtime.host.cpu import host_target
from tests.support.graphs import kernel_ops as ops
from tests.support.graphs.kernel_programs import library_to_refuse
from tests.support.graphs.native_model import (
    GRAPH,
    MIDDLE,
    OPS,
    PAGE,
    POSITIONS,
    WIDTH,
    WORDS,
    NativeModel,
    cosines,
    native_bundle,
    native_model,
    reseal,
    vector_of,
)
from tests.support.models.tiny_models import change
from tests.support.patience import PATIENCE
from tests.support.server.server_process import Server, ready, started

MODEL = native_model()
TEXTS = [" ".join(f"w{3 + (n * k) % 37}" for k in range(1, 2 + n * 7 % 90)) for n in range(120)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ops.host_library()
    return native_bundle(tmp_path_factory.mktemp("native") / "bundle")


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(bundle, tmp_path_factory.mktemp("log") / "log", THREADS="2") as server:
        yield server


def served(server: Server, texts: Sequence[str]) -> list[list[float]]:
    with server.connect() as connection:
        return [connection.embed(text).json["vector"] for text in texts]


def test_vectors_are_the_references(server: Server):
    found = np.array(served(server, TEXTS))
    assert cosines(found, np.array([vector_of(MODEL, text) for text in TEXTS])).min() > 0.999


def test_a_text_has_the_same_bits_alone_and_with_sixteen_others_in_flight(server: Server):
    alone = served(server, TEXTS)
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda n: served(server, TEXTS[n::16]), range(16)))
    assert [together[n % 16][n // 16] for n in range(len(TEXTS))] == alone


def test_long_texts_and_short_ones_in_flight_together(server: Server):
    long = " ".join(TEXTS) * 5
    (expected,) = served(server, [long])
    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(served, server, [long]) for _ in range(3)]
        short = [pool.submit(served, server, TEXTS[:40]) for _ in range(3)]
        assert [future.result(PATIENCE) for future in futures] == [[expected]] * 3
        assert len({json.dumps(future.result(PATIENCE)) for future in short}) == 1


def test_it_says_which_instruction_set_it_uses(server: Server):
    chosen = ops.available()[0]
    with server.connect() as connection:
        assert connection.request("GET", "/meta").json["serving"]["kernels"] == chosen
    assert f"native ops use {chosen}\n" in server.output()


def test_an_instruction_set_can_be_forced(bundle: Path, tmp_path: Path):
    with ready(bundle, tmp_path / "log", KERNELS_ISA="scalar") as server:
        with server.connect() as connection:
            assert connection.request("GET", "/meta").json["serving"]["kernels"] == "scalar"
        found = np.array(served(server, TEXTS[:5]))
    assert cosines(found, np.array([vector_of(MODEL, text) for text in TEXTS[:5]])).min() > 0.999


@pytest.mark.parametrize(
    ("op_set", "settings", "said"),
    [
        (OPS, {"KERNELS_ISA": "avx9"}, "KERNELS_ISA must be one of "),
        (
            OpSet("cpu2vec", OPS.version - 1),
            {},
            f"the bundle needs version {OPS.version - 1} of the ops cpu2vec, and libcpu2vec-",
        ),
        (
            OpSet("cpu2vec", OPS.version + 1),
            {},
            f"the bundle needs version {OPS.version + 1} of the ops cpu2vec, and libcpu2vec-",
        ),
        (OpSet("other", 1), {}, "the bundle's ops must be of the domain 'cpu2vec', not 'other'"),
    ],
)
def test_what_cannot_be_run_here_stops_the_start_with_one_line(
    tmp_path: Path, op_set: OpSet, settings: dict, said: str
):
    with started(native_bundle(tmp_path / "bundle", op_set), tmp_path / "log", **settings) as server:
        assert server.exit_status() == 2
    assert server.output().startswith(f"cpu2vec: {said}")
    assert len(server.output().splitlines()) == 1


def test_an_empty_text_has_the_references_vector(server: Server):
    assert cosines(np.array(served(server, [""])), vector_of(MODEL, "")).min() > 0.999


def test_a_text_of_words_that_are_not_known_is_answered(server: Server):
    (found,) = served(server, ["nobody knows"])
    assert np.isfinite(found).all()


class TestWhatAnOpRefusesInARequest:
    """A bundle whose parts do not fit, in texts that no golden text has: they fail alone, and the server goes on."""

    SOUND = ("w3", "w4 w5 w6", "w7 " * 90, "")

    @classmethod
    def fails(cls, bundle: Path, log: Path, text: str, said: str) -> None:
        with ready(bundle, log, THREADS="2") as server:
            before = served(server, cls.SOUND)
            for answer in (server.embed(text), server.embed(text)):
                assert answer.status == 500
                assert answer.json["error"].startswith("internal error, logged as request ")
            with ThreadPoolExecutor(4) as pool:
                refused = [pool.submit(server.embed, text) for _ in range(4)]
                beside = [pool.submit(served, server, cls.SOUND) for _ in range(4)]
                assert [future.result(PATIENCE).status for future in refused] == [500] * 4
                assert [future.result(PATIENCE) for future in beside] == [before] * 4
        assert re.search(f"request [0-9a-f]+ failed: .*{said}", server.output())

    def test_a_vector_that_is_not_finite(self, tmp_path: Path):
        word_scale = MODEL.word_scale.copy()
        word_scale[39] = np.nan
        bundle = changed_bundle(tmp_path, dataclasses.replace(MODEL, word_scale=word_scale))
        self.fails(bundle, tmp_path / "log", "w3 w39 w4", "the model returned a vector that is not finite")

    def test_an_id_outside_the_table_of_words(self, tmp_path: Path):
        bundle = native_bundle(tmp_path / "bundle")
        change(bundle / "tokenizer.json", lambda tokenizer: tokenizer["model"]["vocab"].update(beyond=WORDS))
        reseal(bundle)
        said = f"token 2 of text [0-9]+ must have an id of the word table, 0 to {WORDS - 1}, not {WORDS}"
        self.fails(bundle, tmp_path / "log", "w3 beyond", said)

    def test_a_window_that_has_more_tokens_than_positions(self, tmp_path: Path):
        bundle, longer = native_bundle(tmp_path / "bundle"), {"max_tokens": POSITIONS + 1}
        change(bundle / MANIFEST_FILE, lambda manifest: manifest["text"]["encoders"]["text"].update(longer))
        said = f"text [0-9]+ must have at most {POSITIONS} tokens, one per position, not {POSITIONS + 1}"
        self.fails(bundle, tmp_path / "log", "w3 " * (POSITIONS - 1), said)


def changed_bundle(directory: Path, model: NativeModel, shift: int = 0) -> Path:
    """A bundle with another model's graph and weights, and the golden vectors of ``MODEL``."""
    bundle = native_bundle(directory / "bundle")
    model.write(bundle, shift=shift)
    reseal(bundle)
    return bundle


def without_a_number(name: str, place: tuple[int, ...]) -> NativeModel:
    """The model with NaN in one place of a table."""
    *owners, field = name.split(".")
    owner = getattr(MODEL, owners[0]) if owners else MODEL
    table = getattr(owner, field).copy()
    table[place] = np.nan
    changed = dataclasses.replace(owner, **{field: table})
    return dataclasses.replace(MODEL, **{owners[0]: changed}) if owners else changed


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("gammas", (0, 5)),
        ("gammas", (1, WIDTH - 1)),
        ("gammas", (2, 0)),
        ("betas", (2, 7)),
        ("position", (1, 0)),
        ("inner.bias", (MIDDLE - 1,)),
        ("outer.scale", (1, 3)),
    ],
)
def test_a_table_with_nan_is_found_before_the_server_turns_ready(tmp_path: Path, name: str, place: tuple):
    bundle = changed_bundle(tmp_path, without_a_number(name, place))
    said = stopped_for_good(bundle, tmp_path / "log")
    assert "not serving: the model returned a vector that is not finite" in said


def stopped_for_good(bundle: Path, log: Path, command: list[str] | None = None) -> str:
    """What a server says that finds in its worker that it cannot serve."""
    with started(bundle, log, command) as server:
        assert server.exit_status() not in (0, 2)
    assert server.output().count("not serving: ") == 1
    assert "Traceback" not in server.output()
    return server.output()


def test_weights_that_are_not_aligned_stop_the_server_for_good(tmp_path: Path):
    bundle = changed_bundle(tmp_path, MODEL, shift=4)
    said = stopped_for_good(bundle, tmp_path / "log")
    assert re.search("not serving: model.onnx cannot be loaded: .* must be aligned to 64 bytes", said)


@pytest.mark.parametrize("kept", [-1, -PAGE, PAGE, 0])
def test_weights_that_are_cut_off_stop_the_server_for_good(tmp_path: Path, kept: int):
    """Whatever the manifest says of the file."""
    bundle = native_bundle(tmp_path / "bundle")
    weights = bundle / GRAPH.weights
    weights.write_bytes(weights.read_bytes()[:kept])
    with started(bundle, tmp_path / "log") as server:
        assert server.exit_status() == 2
    assert re.fullmatch(rf"cpu2vec: {GRAPH.weights} has \d+ bytes instead of .*\n", server.output())
    reseal(bundle)
    assert "not serving: model.onnx cannot be loaded: " in stopped_for_good(bundle, tmp_path / "log")


def test_weights_that_are_missing_stop_the_start_with_one_line(tmp_path: Path):
    bundle = native_bundle(tmp_path / "bundle")
    (bundle / GRAPH.weights).unlink()
    with started(bundle, tmp_path / "log") as server:
        assert server.exit_status() == 2
    assert server.output() == f"cpu2vec: {bundle} has no {GRAPH.weights}: not a complete bundle\n"


def test_scales_that_have_not_a_row_for_each_group_stop_the_server_for_good(tmp_path: Path):
    outer = dataclasses.replace(MODEL.outer, scale=MODEL.outer.scale[:1])
    bundle = changed_bundle(tmp_path, dataclasses.replace(MODEL, outer=outer))
    sentence = rf"scale2 must have the shape \[2, {WIDTH}\], a row for each group of input channels"
    assert re.search(f"model.onnx cannot be loaded: .*{sentence}", stopped_for_good(bundle, tmp_path / "log"))


class TestAnotherLibrary:
    """In a copy of the runtime, whose only library is not one for it."""

    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Path:
        copy = tmp_path / "app"
        shutil.copytree(ROOT / "runtime", copy / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("manifest.py", "VERSION"):
            shutil.copy(ROOT / name, copy)
        shutil.copytree(ROOT / "sections", copy / "sections")
        (copy / "kernels" / "lib").mkdir(parents=True)
        return copy

    @staticmethod
    def inside(runtime: Path) -> list[str]:
        return ["env", "--chdir", str(runtime), "PYTHONDONTWRITEBYTECODE=1"]

    @staticmethod
    def library(runtime: Path) -> Path:
        return runtime / "kernels" / "lib" / f"libcpu2vec-{host_target()}.so"

    def test_the_right_one_serves(self, runtime: Path, bundle: Path, tmp_path: Path):
        """Else the tests below would prove nothing."""
        shutil.copy(ops.host_library(), self.library(runtime))
        with ready(bundle, tmp_path / "log", self.inside(runtime)) as server:
            assert server.embed("w3").status == 200

    def test_for_another_onnxruntime(self, runtime: Path, bundle: Path, tmp_path: Path):
        target = host_target()
        assert target is not None
        shutil.copy(library_to_refuse(target, "9.9.9"), self.library(runtime))
        said = stopped_for_good(bundle, tmp_path / "log", self.inside(runtime))
        assert re.search(r"not serving: libcpu2vec-\w+.so cannot be used: .*built for onnxruntime 9.9.9", said)

    def test_for_another_architecture(self, runtime: Path, bundle: Path, tmp_path: Path):
        (other,) = set(Target) - {host_target()}
        shutil.copy(library_to_refuse(other), self.library(runtime))
        with started(bundle, tmp_path / "log", self.inside(runtime)) as server:
            assert server.exit_status() == 2
        assert re.fullmatch(r"cpu2vec: libcpu2vec-\w+.so cannot be loaded: .*; run `make kernels`\n", server.output())

    def test_none(self, runtime: Path, bundle: Path, tmp_path: Path):
        with started(bundle, tmp_path / "log", self.inside(runtime)) as server:
            assert server.exit_status() == 2
        assert re.fullmatch(r"cpu2vec: .* is missing; run `make kernels`\n", server.output())
