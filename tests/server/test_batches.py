"""Many texts in one request, in the shapes of the APIs that clients speak: the same vectors as one text at a time."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from build.model.default_model import fetch_from_package
from tests.support.bundles.clips import clip_bundle, clip_model
from tests.support.models.tiny_clip import DIM, LIMIT
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.server.server_process import Answer, Server, ready

CLIENTS = ROOT / ".venv" / "clients" / "bin" / "python"
PROGRAM = ROOT / "tests" / "support" / "programs" / "embedding_clients.py"

TEXTS = ["hello world", "", "图书馆 🙂", "a NUL \0 inside", "hello world", "bread " * 40, "river"]
LONG = "bread and butter. " * 600
"""Some 2,400 tokens: more than a window, and more than a group's characters."""


@dataclass(frozen=True)
class Served:
    """A bundle, and what is known of its model."""

    bundle: Path
    model: Path
    dim: int
    max_tokens: int

    def tokens(self, texts: list[str]) -> int:
        """By the original tokenizer, with special tokens."""
        tokenizer = AutoTokenizer.from_pretrained(self.model, local_files_only=True)
        return sum(map(len, tokenizer(texts)["input_ids"]))


@pytest.fixture(scope="module", params=["text", "clip"])
def served(request: pytest.FixtureRequest) -> Served:
    """A model of texts, and the text tower of a CLIP model."""
    if request.param == "clip":
        return Served(clip_bundle("transformers"), clip_model("transformers"), DIM, LIMIT)
    bundle = request.getfixturevalue("default_bundle")
    return Served(bundle, fetch_from_package().directory, 384, 256)


@pytest.fixture(scope="module")
def server(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(served.bundle, tmp_path_factory.mktemp("log") / "log", MAX_TEXTS="600") as server:
        yield server


def post(server: Server, path: str, body: dict[str, Any]) -> Answer:
    with server.connect() as connection:
        return connection.request("POST", path, json.dumps(body).encode())


def numbers(vectors: Any) -> np.ndarray:
    return np.asarray(vectors, dtype=np.float32)


@pytest.fixture(scope="module")
def expected(server: Server) -> np.ndarray:
    return numbers([server.embed(text).json["vector"] for text in [*TEXTS, LONG]])


SHAPES = {
    "/vectors": ("texts", lambda found: found["vectors"]),
    "/v1/embeddings": ("input", lambda found: [each["embedding"] for each in found["data"]]),
    "/embeddings": ("input", lambda found: [each["embedding"] for each in found["data"]]),
    "/api/embed": ("input", lambda found: found["embeddings"]),
    "/": ("inputs", lambda found: found),
    "/embed": ("inputs", lambda found: found),
    "/v1/embed": ("texts", lambda found: found["embeddings"]),
    "/v2/embed": ("texts", lambda found: found["embeddings"]["float"]),
}


@pytest.mark.parametrize("path", SHAPES)
def test_every_shape_gets_the_bits_of_single_requests_in_order(server: Server, expected: np.ndarray, path: str):
    field, vectors_of = SHAPES[path]
    answer = post(server, path, {field: [*TEXTS, LONG]})
    assert answer.status == 200, answer.json
    np.testing.assert_array_equal(numbers(vectors_of(answer.json)), expected)
    for spelled in (f"/{path}", f"{path.rstrip('/')}/"):
        assert vectors_of(post(server, spelled, {field: ["river"]}).json) == vectors_of(answer.json)[6:7]


@pytest.mark.parametrize("path", [path for path in SHAPES if path != "/vectors"])
def test_a_text_too_many_and_a_text_that_is_none_are_named_in_the_shape_of_the_api(server: Server, path: str):
    field, _ = SHAPES[path]
    for body, message in (
        ({field: ["a", "b", 3.5]}, f"{field}[2] must be a string, not a number"),
        ({field: ["a"] * 601}, f"{field} must have from {0 if 'api' in path else 1} to 600 texts"),
        ({}, f"{field} is missing"),
    ):
        answer = post(server, path, body)
        assert answer.status == 400
        found = answer.json
        if "embeddings" in path:
            assert found["error"]["type"] == "invalid_request_error"
            sentence = found["error"]["message"]
        else:
            sentence = found["message" if "v" in path else "error"]
        assert sentence.startswith(message)


def test_as_many_texts_as_allowed_are_answered_in_order(server: Server, served: Served):
    texts = [f"text {number} of many" for number in range(600)]
    found = post(server, "/vectors", {"texts": texts}).json
    assert found["dims"] == served.dim
    assert len(found["vectors"]) == 600
    for index in (0, 31, 32, 299, 599):
        assert found["vectors"][index] == server.embed(texts[index]).json["vector"]


def test_base64_is_the_vectors_bytes(server: Server, expected: np.ndarray):
    answer = post(server, "/v1/embeddings", {"input": TEXTS, "encoding_format": "base64", "model": "any"})
    rows = [np.frombuffer(base64.b64decode(each["embedding"]), "<f4") for each in answer.json["data"]]
    np.testing.assert_array_equal(np.stack(rows), expected[:-1])
    assert [each["index"] for each in answer.json["data"]] == list(range(len(TEXTS)))


def test_usage_counts_the_tokens_of_all_texts_with_special_tokens(server: Server, served: Served):
    texts = ["hello world", "hello world", "bread"]
    usage = post(server, "/v1/embeddings", {"input": texts}).json["usage"]
    expected = served.tokens(texts)
    assert usage == {"prompt_tokens": expected, "total_tokens": expected}


@pytest.mark.parametrize("ids", [[1, 2], [[1, 2], [3]]])
def test_token_ids_are_a_400_that_says_what_to_set(server: Server, ids: Any):
    answer = post(server, "/v1/embeddings", {"input": ids})
    assert answer.status == 400
    assert "check_embedding_ctx_length=False" in answer.json["error"]["message"]


def test_dimensions_are_those_of_single_requests_and_more_than_there_are_a_400(server: Server, served: Served):
    single = server.embed("river", dimensions=16).json["vector"]
    assert (
        post(server, "/embeddings", {"input": "river", "output_dimension": 16}).json["data"][0]["embedding"] == single
    )
    assert post(server, "/vectors", {"texts": ["river"], "config": {"dimensions": 16}}).json == {
        "vectors": [single],
        "dims": 16,
    }
    answer = post(server, "/v1/embeddings", {"input": ["river"], "dimensions": served.dim + 1})
    assert answer.status == 400
    assert f"dimensions must be a whole number from 1 to {served.dim}" in answer.json["error"]["message"]


REFUSING = {
    "/v2/embed": {"truncate": "NONE"},
    "/embed": {"truncate": False},
    "/api/embed": {"truncate": False},
    "/embeddings": {"truncation": False},
}
USUAL = {
    "/v2/embed": {"truncate": "END", "embedding_types": ["float"], "input_type": "search_document"},
    "/embed": {"truncate": True, "normalize": False, "options": {"use_cache": True}},
    "/api/embed": {"truncate": True},
    "/embeddings": {"truncation": True, "normalized": False, "embedding_type": "float", "task": "retrieval.passage"},
}


@pytest.mark.parametrize("path", REFUSING)
def test_a_text_is_refused_by_its_index_where_the_request_forbids_truncation(
    server: Server, expected: np.ndarray, path: str
):
    field, vectors_of = SHAPES[path]
    answer = post(server, path, {field: ["short", LONG], **REFUSING[path]})
    assert answer.status == 400
    assert f"{field}[1]: text must have at most" in json.dumps(answer.json)
    assert "the request forbids truncation" in json.dumps(answer.json)
    answer = post(server, path, {field: [LONG], **USUAL[path]})
    np.testing.assert_array_equal(numbers(vectors_of(answer.json)), expected[-1:])


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v2/embed", {"texts": ["a"], "embedding_types": ["int8"]}, 'embedding_types must be ["float"]'),
        ("/v2/embed", {"texts": ["a"], "truncate": "START"}, "truncate must be END or NONE"),
        ("/v1/embed", {"texts": ["a"], "images": ["b"]}, "images must be absent"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, "encoding_format must be float or base64"),
        ("/embeddings", {"input": "a", "output_dtype": "int8"}, "output_dtype must be float"),
        ("/embed", {"inputs": "a", "prompt_name": "query"}, "prompt_name must be absent"),
        ("/embed", {"inputs": "a", "truncation_direction": "left"}, "truncation_direction must be right"),
        ("/api/embeddings", {"prompt": ["a"]}, "prompt must be a string"),
        ("/vectors", {"texts": ["a"], "text": "b"}, "text and texts are both there"),
    ],
)
def test_what_a_server_cannot_do_is_a_400_that_names_it(server: Server, path: str, body: Any, message: str):
    answer = post(server, path, body)
    assert answer.status == 400
    assert message in json.dumps(answer.json).replace('\\"', '"')


def test_ollamas_older_api_answers_one_vector_and_its_newer_one_an_empty_list(
    server: Server, served: Served, expected: np.ndarray
):
    np.testing.assert_array_equal(
        numbers(post(server, "/api/embeddings", {"prompt": "river", "model": "m"}).json["embedding"]), expected[6]
    )
    assert post(server, "/api/embed", {"input": [], "model": "m"}).json["embeddings"] == []
    assert post(server, "/vectors", {"texts": []}).json == {"vectors": [], "dims": served.dim}


def test_health_and_info_are_answered(server: Server, served: Served):
    with server.connect() as connection:
        assert connection.request("GET", "/health").status == 200
        info = connection.request("GET", "/info").json
    assert info["max_client_batch_size"] == 600
    assert info["max_input_length"] == served.max_tokens
    assert info["model_type"] == {"embedding": {"dim": served.dim}}


def test_a_client_that_leaves_cancels_the_rest_of_its_batch(server: Server):
    long = [f"{number} {LONG}" for number in range(300)]
    with server.connect() as connection:
        body = json.dumps({"texts": long}).encode()
        connection.send(b"POST /vectors HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert server.embed("while it runs").status == 200
    # All of it would take minutes; a second batch that has to wait for it would, too.
    began = time.monotonic()
    assert post(server, "/vectors", {"texts": [LONG, "a"]}).status == 200
    assert time.monotonic() - began < 30


def test_another_model_is_refused_where_names_are_set(default_bundle: Path, tmp_path: Path):
    environment = {"MODEL_ALIASES": "text-embedding-3-small, mine", "WORKERS": "1"}
    with ready(default_bundle, tmp_path / "log", **environment) as server:
        for name in ("mine", "text-embedding-3-small"):
            assert post(server, "/v1/embeddings", {"input": "a", "model": name}).status == 200
        answer = post(server, "/v1/embeddings", {"input": "a", "model": "other"})
        assert answer.status == 404
        assert answer.json["error"]["message"].startswith("model must be one of ")


@pytest.fixture(scope="module")
def understood(server: Server) -> dict[str, Any]:
    """What each client understood, by its name."""
    assert CLIENTS.exists(), "run `make .venv/clients/.ready` first"
    command = [CLIENTS, PROGRAM, f"http://127.0.0.1:{server.port}"]
    result = subprocess.run(
        command, input=json.dumps(TEXTS), capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    "client",
    [
        "openai",
        "openai as floats",
        "langchain-openai",
        "llama-index",
        "ollama",
        "older ollama",
        "huggingface_hub",
        "older cohere",
        "cohere",
    ],
)
def test_real_clients_get_the_bits_of_single_requests(understood: dict[str, Any], expected: np.ndarray, client: str):
    np.testing.assert_array_equal(numbers(understood["vectors"][client]), expected[:-1])


def test_the_client_of_openai_understands_an_error(understood: dict[str, Any]):
    assert "check_embedding_ctx_length=False" in understood["error"]["message"]
