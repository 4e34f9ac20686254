"""``GET /openapi.json`` for each kind of model, and the server beside what it says: by schemathesis, both ways."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from build.pipeline import BuildOptions, build_bundle
from build.progress import Progress
from manifest import Target
from tests.support.bundles.cache import cached
from tests.support.bundles.clips import clip_bundle
from tests.support.bundles.rerankers import unverified_reranker
from tests.support.models.static_models import sentence_layout, wordpiece
from tests.support.models.tiny_rerankers import RERANKERS
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.server.server_process import Server, ready

CLIENTS = ROOT / ".venv" / "clients" / "bin" / "python"
COMMON = {"/", "/meta", "/metrics", "/openapi.json", "/health", "/.well-known/live", "/.well-known/ready"}
LISTS = {
    "/v1/embeddings",
    "/embeddings",
    "/api/embed",
    "/api/embeddings",
    "/",
    "/embed",
    "/v1/embed",
    "/v2/embed",
    "/tokenize",
    "/info",
}
ROUTES = {
    "text": {"/vectors", "/embed_all", *LISTS},
    "static": {"/vectors", *LISTS},
    "rerank": {"/rerank", "/v1/rerank", "/v2/rerank"},
    "clip": {"/vectors", "/vectorize", *LISTS},
}


def static_bundle() -> Path:
    """It has prompts."""

    def model(directory: Path) -> Path:
        return sentence_layout(directory, wordpiece(), prompts={"query": "river stone: ", "document": ""})

    def make(output: Path) -> None:
        directory = str(cached("model-static-with-prompts", model))
        options = BuildOptions(directory, None, Target.AMD64, None, output, force=False)
        build_bundle(options, Progress(stream=io.StringIO()))

    return cached("static-with-prompts", make)


BUNDLES: dict[str, Callable[[], Path]] = {
    "static": static_bundle,
    "rerank": lambda: unverified_reranker(RERANKERS[0]),
    "clip": lambda: clip_bundle("transformers"),
}


@dataclass(frozen=True)
class Served:
    kind: str
    server: Server

    def get(self, path: str) -> Any:
        with self.server.connect() as connection:
            answer = connection.request("GET", path)
        assert answer.status == 200
        return answer.json


@pytest.fixture(scope="module", params=ROUTES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    bundle = BUNDLES[request.param]() if request.param in BUNDLES else request.getfixturevalue("default_bundle")
    with ready(bundle, tmp_path_factory.mktemp("log") / "log", MAX_TEXTS="4") as server:
        yield Served(request.param, server)


def test_every_route_of_the_kind_is_described(served: Served):
    described = served.get("/openapi.json")
    assert described["openapi"].startswith("3.1")
    assert set(described["paths"]) == ROUTES[served.kind] | COMMON
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert operation["summary"]
            assert "security" not in operation, path


def test_what_it_describes_is_answered_and_what_it_excludes_refused(served: Served, tmp_path: Path):
    """No 500, no answer or status that is not described, nothing valid refused and nothing invalid accepted."""
    assert CLIENTS.exists(), "run `make .venv/clients/.ready` first"
    command = [CLIENTS, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{served.server.port}/openapi.json"]
    options = ["--max-examples", "10", "--seed", "1", "--generation-database", "none", "--no-color"]
    if served.kind == "clip":
        # A schema cannot say that a string is an image, nor that a text has at most the 20 tokens of the tiny model.
        options += ["--exclude-checks", "positive_data_acceptance"]
    result = subprocess.run(
        [*command, *options],
        cwd=tmp_path,
        env={"PATH": os.defpath, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "ERROR" not in served.server.output()


def test_tokens_are_asked_for_where_there_are_some(tmp_path: Path):
    with ready(BUNDLES["rerank"](), tmp_path / "log", AUTHENTICATION_ALLOWED_TOKENS="secret") as server:
        with server.connect() as connection:
            assert connection.request("GET", "/openapi.json").status == 401
        with server.connect() as connection:
            answer = connection.request("GET", "/openapi.json", headers={"Authorization": "Bearer secret"})
    described = json.loads(answer.body)
    (scheme,) = described["components"]["securitySchemes"].values()
    assert scheme == {"type": "http", "scheme": "bearer"}
    open_paths = {path for path, each in described["paths"].items() if "security" not in next(iter(each.values()))}
    assert open_paths == {"/health", "/.well-known/live", "/.well-known/ready"}
    for path in set(described["paths"]) - open_paths:
        assert "401" in next(iter(described["paths"][path].values()))["responses"]
