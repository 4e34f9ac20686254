"""What Weaviate's client sends and expects, byte for byte, over real sockets to the real server."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from manifest import Precision
from tests.support.bundles.cache import cached
from tests.support.bundles.unverified import unverified
from tests.support.models import tiny_models
from tests.support.models.tiny_models import WORD, TinyModel
from tests.support.patience import PATIENCE
from tests.support.server.server_process import Answer, Server, ready

SMALL = TinyModel("small", "bert", "bert", "BertModel")

MORE_THAN_WINDOWS = 20
"""The text of the test under full load has 15 windows."""

LONG = " ".join(f"paragraph {n} speaks of rivers, bridges and the price of timber in the north." for n in range(12))


@pytest.fixture(scope="module")
def server(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(default_bundle, tmp_path_factory.mktemp("contract") / "log", []) as server:
        yield server


def go_client_bytes(path: str, text: str) -> bytes:
    """The request as Go's net/http writes it for Weaviate's transformers client: no Content-Type, extra keys."""
    body = json.dumps(
        {
            "text": text,
            "dims": 0,
            "vector": None,
            "error": "",
            "config": {"pooling_strategy": "masked_mean", "task_type": "passage"},
        },
        separators=(",", ":"),
    ).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: t2v-transformers:8080\r\nUser-Agent: Go-http-client/1.1\r\n"
        f"Content-Length: {len(body)}\r\nAccept-Encoding: gzip\r\n\r\n"
    )
    return head.encode() + body


def vector_of(answer: Answer) -> np.ndarray:
    assert answer.status == 200, answer.body
    return np.array(answer.json["vector"], dtype=np.float32)


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))


@pytest.mark.parametrize("path", ["/vectors", "/vectors/"])
def test_weaviates_own_bytes_get_a_vector(server: Server, original: SentenceTransformer, path: str):
    with server.connect() as connection:
        connection.send(go_client_bytes(path, "The harbour froze in February."))
        answer = connection.answer()
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json) == ["text", "vector", "dim"]
    assert answer.json["text"] == "The harbour froze in February."
    assert answer.json["dim"] == 384
    assert cosine(vector_of(answer), original.encode("The harbour froze in February.")) > 0.98


def test_a_thousand_requests_in_sequence_share_one_connection(server: Server):
    with server.connect() as connection:
        for n in range(1000):
            connection.send(go_client_bytes("/vectors", f"text {n}"))
            answer = connection.answer()
            assert (answer.status, answer.json["text"]) == (200, f"text {n}")


def test_fifty_connections_at_once_get_the_bits_that_each_text_gets_alone(server: Server):
    texts = [f"{n} {LONG[: 20 * n]}" for n in range(50)]
    alone = [server.embed(text).body for text in texts]
    barrier = threading.Barrier(50)

    def embed(text: str) -> bytes:
        with server.connect() as connection:
            barrier.wait(PATIENCE)
            return connection.embed(text).body

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        assert list(pool.map(embed, texts)) == alone


def test_probes_do_not_wait_for_texts_under_full_load(server: Server):
    """Weaviate waits 0.5 s for a probe. One that waited for its turn among the texts would take a window of each."""
    text = f"{LONG} " * 18
    with contextlib.ExitStack() as stack:
        texts = [stack.enter_context(server.connect()) for _ in range(32)]
        for connection in texts:
            connection.send(go_client_bytes("/vectors", text))
        server.wait_until_read()
        for _ in range(MORE_THAN_WINDOWS):
            with server.connect() as connection:
                assert connection.request("GET", "/.well-known/ready").status == 204
        assert not any(connection.has_answer() for connection in texts)
        assert [connection.answer().status for connection in texts] == [200] * 32


def test_meta_is_an_object_with_the_models_config_and_the_manifest(server: Server, default_bundle: Path):
    with server.connect() as connection:
        answer = connection.request("GET", "/meta")
    assert answer.status == 200
    assert answer.json["model"] == json.loads((default_bundle / "config.json").read_text())
    assert answer.json["model_path"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert answer.json["bundle"] == json.loads((default_bundle / "manifest.json").read_text())


def test_probes_are_204(server: Server):
    with server.connect() as connection:
        for path in ("/.well-known/live", "/.well-known/ready"):
            answer = connection.request("GET", path)
            assert (answer.status, answer.body) == (204, b"")


EDGES = {
    "empty": "",
    "one token": "a",
    "white space": " \n\t ",
    "emoji": "😀👩‍👩‍👧 🏳️‍🌈",
    "CJK": "図書館は何時に閉まりますか。图书馆几点关门?",
    "combining marks": "e\u0301 n\u0303 ä",
    "NUL": "a\0b",
    "special tokens": "[CLS] hello [SEP] [MASK]",
    "right to left": "متى يغادر القطار الأخير؟",
    "far more than max_tokens": LONG * 30,
}


@pytest.mark.parametrize("name", EDGES)
def test_edges_come_out_close_to_the_original(server: Server, original: SentenceTransformer, name: str):
    answer = server.embed(EDGES[name])
    assert answer.json["text"] == EDGES[name]
    assert cosine(vector_of(answer), original.encode(EDGES[name])) > 0.97


def test_a_text_of_almost_a_mebibyte_is_answered(tmp_path: Path):
    """By a small model, which has thousands of windows for it."""
    model = tiny_models.make(SMALL)
    bundle = cached(f"fp32-{SMALL.name}", lambda output: unverified(model, output, Precision.FP32))
    original = SentenceTransformer(str(model), device="cpu", local_files_only=True)
    text = (f"{WORD} " * 210_000)[: (1 << 20) - 200]
    with ready(bundle, tmp_path / "log") as server:
        assert cosine(vector_of(server.embed(text)), original.encode(text[:10_000])) > 0.97


def test_a_vector_has_unit_length_as_the_model_declares(server: Server):
    assert np.linalg.norm(vector_of(server.embed("hello"))) == pytest.approx(1, abs=1e-5)


def test_masked_mean_and_default_are_the_same_bits(server: Server):
    assert server.embed("hello", pooling_strategy="masked_mean").body == server.embed("hello").body


def test_cls_pooling_is_the_originals_first_token_normalized(server: Server, original: SentenceTransformer):
    features = original.preprocess(["The harbour froze."])
    with torch.no_grad():
        tokens = original[0].forward(features)["token_embeddings"][0]
    assert cosine(vector_of(server.embed("The harbour froze.", pooling_strategy="cls")), tokens[0].numpy()) > 0.95


@pytest.mark.parametrize("dimensions", [1, 128, 384])
def test_dimensions_cut_and_normalize_again(server: Server, dimensions: int):
    whole, cut = vector_of(server.embed("hello")), vector_of(server.embed("hello", dimensions=dimensions))
    expected = whole[:dimensions] / np.linalg.norm(whole[:dimensions])
    np.testing.assert_allclose(cut, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "the body is not valid JSON"),
        (b'{"text": 1}', 400, "text must be a string, not a number"),
        (b'{"txt": "a"}', 400, "text is missing"),
        (rb'{"text": "\ud800"}', 400, "the body is not valid JSON in UTF-8"),
        (b'{"text": "\xff"}', 400, "the body is not valid JSON in UTF-8"),
        (b'{"text": "a", "config": {"dimensions": 385}}', 400, "config.dimensions must be a whole number"),
        (b'{"text": "a", "config": {"task_type": "x"}}', 400, "config.task_type"),
        (b'{"text": "' + b"a" * (16 << 20) + b'"}', 413, "the body is larger than 16777216 bytes"),
    ],
)
def test_a_wrong_request_gets_one_sentence_in_json(server: Server, body: bytes, status: int, field: str):
    with server.connect() as connection:
        answer = connection.request("POST", "/vectors", body)
    assert answer.status == status
    assert list(answer.json) == ["error"]
    assert answer.json["error"].startswith(field)


def test_a_wrong_request_leaves_the_connection_usable(server: Server):
    with server.connect() as connection:
        assert connection.request("POST", "/vectors", b"{").status == 400
        assert connection.embed("hello").status == 200


@pytest.mark.parametrize("task", ["query", "passage"])
def test_prefixes_are_put_before_texts_by_their_task(default_bundle: Path, tmp_path: Path, server: Server, task: str):
    """As today's containers do where they are asked to. The golden requests still mean the model's own prompts."""
    settings = {"USE_QUERY_PASSAGE_PREFIXES": "true"}
    with (
        ready(default_bundle, tmp_path / "log", [], **settings) as prefixing,
        prefixing.connect() as connection,
    ):
        prefixed = vector_of(connection.embed("The harbor froze.", task_type=task))
        bare = vector_of(connection.embed("The harbor froze."))
    with server.connect() as connection:
        np.testing.assert_array_equal(prefixed, vector_of(connection.embed(f"{task}: The harbor froze.")))
        np.testing.assert_array_equal(bare, vector_of(connection.embed("The harbor froze.")))
