"""Cohere's own client, both of its generations, pointed at a reranker's server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.bundles.rerankers import unverified_reranker
from tests.support.models.tiny_rerankers import RERANKERS
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.server.server_process import Server, ready

CLIENTS = ROOT / ".venv" / "clients" / "bin" / "python"
PROGRAM = ROOT / "tests" / "support" / "programs" / "cohere_client.py"
DOCUMENTS = ["river", "stone green", "", "paper", "图书馆 🙂"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(unverified_reranker(RERANKERS[0]), tmp_path_factory.mktemp("log") / "log") as server:
        yield server


def ask(server: Server, **request: Any) -> dict[str, Any]:
    """What each generation of the client understood."""
    assert CLIENTS.exists(), "run `make .venv/clients/.ready` first"
    command = [CLIENTS, PROGRAM, f"http://127.0.0.1:{server.port}"]
    result = subprocess.run(
        command, input=json.dumps(request), capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def scores(server: Server, query: str) -> list[float]:
    with server.connect() as connection:
        body = json.dumps({"query": query, "documents": DOCUMENTS}).encode()
        answer = connection.request("POST", "/rerank", body)
    return [entry["score"] for entry in answer.json["scores"]]


def test_the_client_gets_the_best_documents_with_the_scores_of_rerank(server: Server):
    own = scores(server, "the river")
    best = sorted(range(len(own)), key=lambda index: -own[index])[:3]
    expected = {"results": [[index, own[index]] for index in best]}
    found = ask(server, model="rerank-v3.5", query="the river", documents=DOCUMENTS, top_n=3)
    assert found == {"v1": expected, "v2": expected}


def test_an_error_reaches_the_client_as_one(server: Server):
    found = ask(server, model="rerank-v3.5", query="the river", documents=DOCUMENTS, top_n=0)
    wrong = {"status": 400, "body": {"error": "top_n must be a whole number of at least 1, not 0"}}
    assert found == {"v1": wrong, "v2": wrong}
