"""A bundle of native ops through the real server: vectors, many texts at once, what it says, what stops it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from manifest import OpSet
from tests import kernel_ops as ops
from tests.native_model import OPS, cosines, native_bundle, native_model, reseal, vector_of
from tests.server_process import Server, ready, started

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


def served(server: Server, texts: list[str]) -> list[list[float]]:
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
        assert [future.result(60) for future in futures] == [[expected]] * 3
        assert len({json.dumps(future.result(60)) for future in short}) == 1


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
        (OPS, {"KERNELS_ISA": "avx9"}, "KERNELS_ISA is 'avx9', and this machine can use "),
        (OpSet("cpu2vec", 1), {}, "the bundle wants version 1 of the ops cpu2vec, and libcpu2vec-"),
        (OpSet("cpu2vec", 3), {}, "the bundle wants version 3 of the ops cpu2vec, and libcpu2vec-"),
        (OpSet("other", 1), {}, "the bundle is made of ops of 'other', and this runtime has those of 'cpu2vec'"),
    ],
)
def test_what_cannot_be_run_here_stops_the_start_with_one_line(
    tmp_path: Path, op_set: OpSet, settings: dict, said: str
):
    with started(native_bundle(tmp_path / "bundle", op_set), tmp_path / "log", **settings) as server:
        assert server.process.wait(30) == 2
    assert server.output().startswith(f"cpu2vec: {said}")
    assert len(server.output().splitlines()) == 1


def test_weights_that_are_not_aligned_stop_the_server_for_good(tmp_path: Path):
    bundle = native_bundle(tmp_path / "bundle")
    MODEL.write(bundle, shift=4)
    reseal(bundle)
    with started(bundle, tmp_path / "log") as server:
        assert server.process.wait(30) not in (0, 2)
    assert server.output().count("not serving: model.onnx cannot be loaded: ") == 1
    assert "Traceback" not in server.output()
