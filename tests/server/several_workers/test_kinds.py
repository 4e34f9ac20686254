"""Several workers serve every kind of model: from each, the same answer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from build.pipeline import BuildOptions, build_bundle
from build.progress import Progress
from manifest import Target
from tests.support.bundles.rerankers import unverified_reranker
from tests.support.models.static_models import own_layout, wordpiece
from tests.support.models.tiny_rerankers import RERANKERS
from tests.support.server.server_process import Server, ready
from tests.support.server.shares import all_accepted, shares

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="each worker needs a core")


def answers_of_both(server: Server, path: str, fields: dict[str, Any]) -> list[Any]:
    """The answers of the two workers to the same request."""
    body = json.dumps(fields).encode()
    all_accepted(server, 0)
    with server.connect() as one, server.connect() as other:
        all_accepted(server, 2)
        assert shares(server) == [1, 1]
        answers = [connection.request("POST", path, body) for connection in (one, other)]
        metas = [connection.request("GET", "/meta").json for connection in (one, other)]
    assert [answer.status for answer in answers] == [200, 200], server.output()
    assert metas[0] == metas[1]
    assert metas[0]["serving"]["workers"] == 2
    return [answer.json for answer in answers]


@pytest.mark.slow
def test_rerankers(tmp_path: Path):
    bundle = unverified_reranker(RERANKERS[0])
    with ready(bundle, tmp_path / "log", WORKERS="2", THREADS="2") as server:
        documents = ["a river", "a stone", "the river walk", ""]
        first, second = answers_of_both(server, "/rerank", {"query": "river", "texts": documents})
        with server.connect() as connection:
            in_flight = connection.request("GET", "/meta").json["serving"]["documents_in_flight"]
    assert first == second
    assert len(first) == len(documents)
    assert in_flight == 8, "four for each core of both"


@pytest.mark.slow
def test_static_models(tmp_path: Path):
    options = BuildOptions(
        str(own_layout(tmp_path / "model", wordpiece())), None, Target.AMD64, None, tmp_path / "bundle", force=False
    )
    build_bundle(options, Progress())
    with ready(tmp_path / "bundle", tmp_path / "log", WORKERS="2", THREADS="2") as server:
        first, second = answers_of_both(server, "/vectors", {"text": "ferry river"})
    assert first == second
    assert any(first["vector"])
