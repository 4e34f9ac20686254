"""A static model of real size through the build, the gate, the runtime and HTTP, beside model2vec itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from build.fidelity.requests import VectorRequest
from build.static.layout import find_layout
from build.static.original import load_original
from manifest import Kind, Precision, StaticModel, read_manifest
from tests.support.bundles.kinds import static_bundle
from tests.support.models.distilled import DIMENSIONS, distilled_model
from tests.support.server.server_process import Server, ready

pytestmark = pytest.mark.slow

TEXTS = [
    "",
    "The ferry to the island leaves at seven in the morning.",
    "def main() -> None: ...",
    "图书馆今天几点关门?",
    "日本語のテキスト 😀👩‍🚀",
    "zero\x00byte",
    "ßüÉ ﬁ Ⅳ",
    "river stone paper " * 300,
    "x" * 20_000,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(static_bundle(), tmp_path_factory.mktemp("log") / "log") as server:
        yield server


def served(server: Server, text: str) -> NDArray[np.float64]:
    with server.connect() as connection:
        answer = connection.request("POST", "/vectors", json.dumps({"text": text}).encode())
    assert answer.status == 200, answer.body
    return np.array(answer.json["vector"])


def test_vectors_are_those_of_model2vec(server: Server):
    layout = find_layout(distilled_model())
    assert layout is not None
    expected = load_original(distilled_model(), layout).embed([VectorRequest(text) for text in TEXTS])
    found = np.array([served(server, text) for text in TEXTS])
    assert found.shape == (len(TEXTS), DIMENSIONS)
    assert np.abs(found - expected).max() <= 1e-6


@pytest.mark.parametrize("precision", [Precision.STORED, Precision.INT8])
def test_it_passes_the_gate(precision: Precision):
    manifest = read_manifest(static_bundle(precision))
    assert manifest.kind is Kind.STATIC
    assert manifest.section_as(StaticModel).dim == DIMENSIONS
    assert manifest.fidelity is not None
    assert manifest.fidelity.cosine is not None
    assert manifest.fidelity.cosine.p1 > 0.999


def test_a_table_in_16_bits_is_halved_in_8():
    stored, int8 = (
        sum(entry.size for entry in read_manifest(static_bundle(precision)).files.values())
        for precision in (Precision.STORED, Precision.INT8)
    )
    assert int8 < 0.55 * stored
