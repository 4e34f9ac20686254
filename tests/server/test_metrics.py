"""``GET /metrics`` of a real server: by any worker the same, after real requests, as the official client reads it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.paths import ROOT
from tests.support.server.scrape import Samples
from tests.support.server.scrape import scrape as scraped
from tests.support.server.scrape import scrape_when as scraped_when
from tests.support.server.server_process import Answer, Server, ready, wait_until

ANSWERED = "cpu2vec_requests_total{route=/vectors,status=200}"
TOKEN = {"Authorization": "Bearer secret"}
LONG = "the quick brown fox jumps over the lazy dog " * 60


@pytest.fixture(scope="module")
def server(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    settings = {"WORKERS": "2", "THREADS": "2", "ENABLE_CACHE": "1", "AUTHENTICATION_ALLOWED_TOKENS": "secret"}
    with ready(default_bundle, log, [], **settings) as server:
        yield server


def ask(server: Server, method: str, path: str, body: bytes = b"", token: bool = True) -> Answer:
    with server.connect() as connection:
        return connection.request(method, path, body, TOKEN if token else {})


def scrape(server: Server) -> Samples:
    return scraped(server, TOKEN)


def scrape_when(server: Server, before: Samples, name: str, growth: float) -> Samples:
    return scraped_when(server, before, name, growth, TOKEN)


def test_every_metric_is_explained(server: Server):
    page = (ROOT / "docs/metrics.md").read_text()
    families = text_string_to_metric_families(ask(server, "GET", "/metrics").body.decode())
    # NOTE: the parser takes the suffix of counters off.
    names = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    assert len(names) > 20
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_metrics_need_a_token_where_there_are_tokens(server: Server):
    assert ask(server, "GET", "/metrics", token=False).status == 401


def test_requests_and_texts_of_all_workers_are_counted(server: Server):
    before = scrape(server)
    for number in range(6):
        assert ask(server, "POST", "//vectors", b'{"text": "number %d"}' % number).status == 200
    assert ask(server, "POST", "/vectors", b'{"text": "number 0"}').status == 200
    assert ask(server, "POST", "/vectors", b'{"text": "%s"}' % LONG.encode()).status == 200
    assert ask(server, "POST", "/vectors", b"{}").status == 400
    assert ask(server, "GET", "/nothing").status == 404
    scrape_when(server, before, ANSWERED, 8)
    scrape_when(server, before, "cpu2vec_requests_total{route=/vectors,status=400}", 1)
    after = scrape_when(server, before, "cpu2vec_requests_total{route=other,status=404}", 1)

    def grown(name: str) -> float:
        return after[name] - before[name]

    assert grown(ANSWERED) == 8
    assert grown("cpu2vec_requests_total{route=/vectors,status=400}") == 1
    assert grown("cpu2vec_requests_total{route=other,status=404}") == 1
    assert grown("cpu2vec_request_seconds_count{route=/vectors}") == 9
    computed, hits = grown("cpu2vec_texts_total"), grown("cpu2vec_cache_hits_total")
    assert computed + hits == 8
    assert computed >= 7
    assert grown("cpu2vec_texts_chunked_total") == 1
    assert grown("cpu2vec_tokens_total") > 540
    assert grown("cpu2vec_queue_seconds_count") == computed
    assert grown("cpu2vec_inference_seconds_count") >= computed
    assert after["cpu2vec_queue_jobs"] == after["cpu2vec_pending_texts"] == after["cpu2vec_pending_tokens"] == 0
    assert after["cpu2vec_requests_in_flight"] == 0
    assert after["cpu2vec_deadline_misses_total"] == 0


def test_memory_and_build_are_told(server: Server):
    samples = scrape(server)
    processes = ("master", "worker-0", "worker-1")
    assert all(samples[f"cpu2vec_resident_memory_bytes{{process={name}}}"] > 10e6 for name in processes)
    assert samples["cpu2vec_memory_limit_bytes"] > 100e6
    assert "kind=text" in samples.info
    assert "precision=int8" in samples.info


def test_each_route_is_counted_apart(server: Server):
    single = {
        "/vectors",
        "/info",
        "/meta",
        "/metrics",
        "/openapi.json",
        "/health",
        "/.well-known/live",
        "/.well-known/ready",
        "other",
    }
    lists = {"/v1/embeddings", "/embeddings", "/api/embed", "/api/embeddings", "/", "/embed", "/v1/embed", "/v2/embed"}
    assert scrape(server).routes == single | lists | {"/embed_all", "/tokenize"}


def test_texts_of_a_list_are_counted_as_each_alone(server: Server):
    before = scrape(server)
    texts = ["river", "stone", "river", *(f"the number {number}" for number in range(100)), LONG, ""]
    answer = ask(server, "POST", "/v1/embeddings", json.dumps({"input": texts}).encode())
    assert answer.status == 200
    scrape_when(server, before, "cpu2vec_requests_total{route=/v1/embeddings,status=200}", 1)
    # The worker that has the request shows it at once, and one that embedded texts for it a little later.
    after = scrape_when(server, before, "cpu2vec_texts_total", len(texts) - 1)
    again = ask(server, "POST", "/v1/embeddings", b'{"input": ["river"]}').json["usage"]["prompt_tokens"]
    assert after["cpu2vec_texts_total"] - before["cpu2vec_texts_total"] == len(texts) - 1
    tokens = after["cpu2vec_tokens_total"] - before["cpu2vec_tokens_total"]
    assert tokens == answer.json["usage"]["prompt_tokens"] - again
    assert after["cpu2vec_texts_chunked_total"] - before["cpu2vec_texts_chunked_total"] == 1
    assert after["cpu2vec_pending_texts"] == after["cpu2vec_pending_tokens"] == after["cpu2vec_queue_jobs"] == 0


def test_a_client_that_leaves_and_what_is_no_request_are_counted(server: Server):
    before = scrape(server)
    with server.connect() as connection:
        connection.send(
            b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\nAuthorization: Bearer secret\r\n\r\n"
        )
    with server.connect() as connection:
        connection.send(b"nonsense\r\n\r\n")
        assert connection.answer().status == 400

    def have_grown() -> bool:
        after = scrape(server)
        names = ("cpu2vec_requests_cancelled_total", "cpu2vec_requests_malformed_total")
        return all(after[name] == before[name] + 1 for name in names)

    wait_until(have_grown, "they are not counted", lambda: str(scrape(server)))


def test_a_worker_that_ends_is_counted_and_its_requests_stay(server: Server):
    before = scrape(server)
    assert ask(server, "POST", "/vectors", b'{"text": "before"}').status == 200
    before = scrape_when(server, before, ANSWERED, 1)
    workers = server.workers()
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: len(server.workers()) == 2 and workers[0] not in server.workers(), "no worker starts")
    after = scrape(server)
    assert after["cpu2vec_worker_restarts_total"] == before["cpu2vec_worker_restarts_total"] + 1
    assert after[ANSWERED] == before[ANSWERED]
