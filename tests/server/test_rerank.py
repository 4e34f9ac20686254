"""Every family of rerankers, from files through the real build and runtime: the original's scores over HTTP."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder

from build.pipeline import BuildOptions, build_bundle
from build.progress import Progress
from manifest import Kind, Layout, Manifest, Precision, RerankModel, Target, read_manifest
from tests.support.bundles.cache import cached
from tests.support.bundles.rerankers import unverified_reranker
from tests.support.models import tiny_models
from tests.support.models.tiny_models import TinyModel
from tests.support.models.tiny_rerankers import NATIVE, RERANKERS
from tests.support.server.scrape import scrape
from tests.support.server.server_process import Server, ready, started

QUERY = "the river walk"
LONG = "stone paper green " * 60
DOCUMENTS = ["", "river", "a river", "a river", "  The RIVER!  ", "图书馆 🙂", "zero\x00byte", LONG, "x" * 3000]

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Served:
    model: TinyModel
    server: Server
    manifest: Manifest
    original: CrossEncoder

    def post(self, path: str = "/rerank", **fields: Any) -> Any:
        with self.server.connect() as connection:
            answer = connection.request("POST", path, json.dumps(fields).encode())
        assert answer.status == 200, answer.body
        return answer.json

    def logits(self, query: str, documents: list[str]) -> NDArray[np.float64]:
        ranking = self.post(query=query, texts=documents, raw_scores=True)
        by_index = {entry["index"]: entry["score"] for entry in ranking}
        assert [entry["score"] for entry in ranking] == sorted(by_index.values(), reverse=True)
        return np.array([by_index[index] for index in range(len(documents))])

    def expected(self, query: str, documents: list[str], raw: bool) -> NDArray[np.float64]:
        activation = torch.nn.Identity() if raw else None
        pairs = [(query, document) for document in documents]
        return self.original.predict(pairs, batch_size=1, activation_fn=activation).astype(np.float64)


def served_bundle(model: TinyModel, bundle: Path, log: Path) -> Iterator[Served]:
    manifest = read_manifest(bundle)
    original = CrossEncoder(str(tiny_models.make(model)), device="cpu", local_files_only=True)
    original.max_seq_length = manifest.section_as(RerankModel).encoder.max_tokens
    with ready(bundle, log) as server:
        yield Served(model, server, manifest, original)


@pytest.fixture(scope="module", params=RERANKERS, ids=lambda model: model.name)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    model: TinyModel = request.param

    def make(output: Path) -> None:
        directory = str(tiny_models.make(model))
        options = BuildOptions(directory, None, Target.AMD64, Precision.FP32, output, force=False)
        build_bundle(options, Progress(stream=io.StringIO()))

    yield from served_bundle(model, cached(f"rerank-{model.name}", make), tmp_path_factory.mktemp("log") / "log")


def assert_close(found: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    assert np.abs(found - expected).max() <= TOLERANCE * max(1.0, float(np.abs(expected).max()))


@pytest.mark.parametrize("query", [QUERY, "", LONG])
def test_logits_are_the_originals(served: Served, query: str):
    assert_close(served.logits(query, DOCUMENTS), served.expected(query, DOCUMENTS, raw=True))


def test_scores_are_the_originals_one_for_each_document_in_order(served: Served):
    answer = served.post(query=QUERY, documents=DOCUMENTS, property="")
    assert [entry["document"] for entry in answer["scores"]] == DOCUMENTS
    found = np.array([entry["score"] for entry in answer["scores"]])
    assert_close(found, served.expected(QUERY, DOCUMENTS, raw=False))


def test_the_kind_is_found_in_the_files(served: Served):
    assert served.manifest.kind is Kind.RERANK
    assert served.manifest.fidelity is not None
    scores = served.manifest.fidelity.scores
    assert scores is not None
    assert scores.top_kept == 1


@pytest.fixture(
    scope="module",
    params=[model for model in RERANKERS if model.name in ("ms-marco-minilm", "ms-marco-electra", "mxbai-rerank")],
    ids=lambda model: model.name,
)
def quantized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    bundle = unverified_reranker(request.param)
    yield from served_bundle(request.param, bundle, tmp_path_factory.mktemp("int8") / "log")


def test_native_kernels_run_the_families_that_they_have(quantized: Served):
    section = quantized.manifest.section_as(RerankModel)
    native = quantized.model.family in NATIVE
    assert (section.graph.layout is Layout.PACKED) == native
    assert ({"token_type_ids", "rows"} <= set(section.graph.inputs)) == native


def test_quantized_logits_follow_the_originals(quantized: Served):
    documents = [f"{word} {other}" for word in ("river", "stone", "walk") for other in ("green", "paper", "seven", "")]
    found, expected = quantized.logits(QUERY, documents), quantized.expected(QUERY, documents, raw=True)
    assert np.corrcoef(found, expected)[0, 1] > 0.95


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    bundle = unverified_reranker(RERANKERS[0])
    yield from served_bundle(RERANKERS[0], bundle, tmp_path_factory.mktemp("minilm") / "log")


def test_cohere_and_jina_get_sorted_results(minilm: Served):
    logits = minilm.logits(QUERY, ["river", "stone", "paper"])
    for path in ("/v1/rerank", "/v2/rerank"):
        answer = minilm.post(path, model="x", query=QUERY, documents=["river", {"text": "stone"}, "paper"], top_n=2)
        assert [result["index"] for result in answer["results"]] == np.argsort(-logits)[:2].tolist()


def test_hundreds_of_documents_in_one_request_score_as_each_alone(minilm: Served):
    documents = [f"river {number} stone {number % 7}" for number in range(300)]
    together = minilm.logits(QUERY, documents)
    alone = [minilm.logits(QUERY, [document])[0] for document in documents[::50]]
    assert together[::50].tolist() == alone


def test_empty_and_older_requests_are_answered(minilm: Served):
    assert minilm.post(query=QUERY, documents=[])["scores"] == []
    one = minilm.post(query=QUERY, documents=["river"])["scores"][0]["score"]
    assert minilm.post(query=QUERY, property="river")["score"] == one


def test_what_is_wrong_gets_a_400_that_names_it(minilm: Served):
    wrong = {
        "documents[1] must be a string, not null": {"query": "q", "documents": ["a", None]},
        "texts[0] and the query must have at most 64 tokens together: shorten them, or allow truncation": {
            "query": "q",
            "texts": [LONG],
            "truncate": False,
        },
    }
    with minilm.server.connect() as connection:
        for message, fields in wrong.items():
            answer = connection.request("POST", "/rerank", json.dumps(fields).encode())
            assert (answer.status, answer.json) == (400, {"error": message})


def test_a_body_of_eight_megabytes_is_read_and_a_larger_one_is_refused(minilm: Served):
    assert len(minilm.post(query="q", documents=["river " * 200_000] * 5)["scores"]) == 5
    with minilm.server.connect() as connection:
        connection.send(b"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8388609\r\n\r\n")
        answer = connection.answer()
    assert answer.status == 413
    assert answer.json["error"] == "the body is larger than 8388608 bytes, the limit of this server (MAX_BODY_BYTES)"


def test_meta_is_an_object_with_the_models_config(minilm: Served):
    with minilm.server.connect() as connection:
        meta = connection.request("GET", "/meta").json
    assert meta["model"]["architectures"] == ["BertForSequenceClassification"]
    assert meta["bundle"]["kind"] == "rerank"
    assert meta["serving"]["max_tokens"] == 64


def test_pairs_are_counted(minilm: Served):
    limit = minilm.manifest.section_as(RerankModel).encoder.max_tokens
    before = scrape(minilm.server)
    minilm.post(query=QUERY, texts=["river", "stone", "river", "paper " * limit])
    minilm.post("/v2/rerank", model="x", query=QUERY, documents=["river"])
    after = scrape(minilm.server)
    assert "kind=rerank" in after.info
    common = {"/", "/meta", "/metrics", "/openapi.json", "/health", "/.well-known/live", "/.well-known/ready", "other"}
    assert after.routes == {"/rerank", "/v1/rerank", "/v2/rerank", *common}
    for route in ("/rerank", "/v2/rerank"):
        name = f"cpu2vec_requests_total{{route={route},status=200}}"
        assert after[name] == before[name] + 1
    # Equal documents of a request are one pair, and each query is a job of its own.
    assert after["cpu2vec_texts_total"] == before["cpu2vec_texts_total"] + 4
    assert after["cpu2vec_queue_seconds_count"] == before["cpu2vec_queue_seconds_count"] + 6
    assert after["cpu2vec_tokens_total"] > before["cpu2vec_tokens_total"] + limit
    assert after["cpu2vec_texts_truncated_total"] == before["cpu2vec_texts_truncated_total"] + 1
    assert after["cpu2vec_pending_texts"] == after["cpu2vec_pending_tokens"] == after["cpu2vec_queue_jobs"] == 0


def test_long_pairs_can_be_refused_in_weaviates_form_too(tmp_path: Path):
    body = json.dumps({"query": "q", "documents": ["a", LONG]}).encode()
    bundle = unverified_reranker(RERANKERS[0])
    with ready(bundle, tmp_path / "log", LONG_TEXT="error") as server, server.connect() as connection:
        answer = connection.request("POST", "/rerank", body)
    assert answer.status == 400
    assert answer.json["error"].startswith("documents[1] and the query must have at most 64 tokens together")


def test_a_reranker_has_no_windows_to_average(tmp_path: Path):
    with started(unverified_reranker(RERANKERS[0]), tmp_path / "log", LONG_TEXT="chunk") as server:
        assert server.exit_status() == 2
    said = "cpu2vec: LONG_TEXT must be truncate or error for a reranker, which reads both texts at once\n"
    assert server.output() == said
