"""``make compare`` of two containers that run: a verdict about vectors or rankings, by Python and numpy alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from build.compare.hypotheses import Cause
from build.compare.sides import NOT_EXPLAINED
from build.fidelity.requests import heldout_texts
from build.fidelity.runtime_process import free_port
from tests.support.compare.numpy_alone import compared, rows
from tests.support.server.stub_container import Handler, Seen, scoring, send, serving, vector_of


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(text for text in heldout_texts()[:30] if "\n" not in text), encoding="utf-8")
    return file


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    file = tmp_path / "queries.txt"
    file.write_text("a query\nfirst document\nsecond one\nthe third of them\n", encoding="utf-8")
    return file


@contextmanager
def embedding(component: Callable[[str], tuple[float, ...]], token: str = "") -> Iterator[tuple[str, Seen]]:
    """A container without ``/rerank`` whose vectors depend on the text, and which may want a bearer token."""

    def reply(handler: Handler, number: int) -> None:
        if token and handler.headers["Authorization"] != f"Bearer {token}":
            return send(handler, 401, b'{"error": "no"}')
        if handler.path != "/vectors":
            return send(handler, 404, b'{"detail": "Not Found"}')
        return send(handler, 200, vector_of(*component(json.loads(handler.body)["text"])))

    with serving(reply) as served:
        yield served


def letters(text: str) -> tuple[float, ...]:
    """How often each of some letters is there."""
    return tuple(float(text.lower().count(letter)) for letter in "abcdefghinorstu")


def test_equal_vectors_are_a_drop_in(texts: Path):
    file = texts.with_name("compared.json")
    with embedding(letters) as (old, asked), embedding(letters) as (new, asked_too):
        result = compared(old, new, texts, "--json", str(file))
    assert result.returncode == 0, result.stderr
    assert rows(result)["verdict"] == "drop in"
    assert rows(result)["new"].startswith(f"{new}: 15 components")
    value = json.loads(file.read_text())
    assert (value["old"], value["new"], value["findings"], value["notes"]) == (old, {"address": new}, [], [])
    assert set(asked.paths) == {"/vectors"}
    assert set(asked.bodies) == set(asked_too.bodies[2:])  # the first two ask for what it does besides


def test_other_vectors_need_another_import_and_the_reason_is_left_open(texts: Path):
    with embedding(letters) as (old, _), embedding(lambda text: letters(text[::2])) as (new, _):
        result = compared(old, new, texts)
    assert result.returncode == 3, result.stderr
    assert rows(result)["verdict"] == "re-import needed"
    assert result.stdout.endswith(f"{NOT_EXPLAINED}\n")
    assert "why" not in rows(result)


def test_fewer_components_are_recognized(texts: Path):
    with embedding(letters) as (old, _), embedding(lambda text: letters(text)[:10]) as (new, _):
        result = compared(old, new, texts)
    assert result.returncode == 3, result.stderr
    assert rows(result)["why"].startswith(Cause.FIRST_COMPONENTS)


@pytest.mark.parametrize(
    ("score", "status", "verdict"), [(len, 0, "drop in"), (lambda text: -len(text), 3, "rankings differ")]
)
def test_rerankers_are_recognized_and_compared(queries: Path, score: Callable[[str], float], status: int, verdict: str):
    with serving(scoring(len)) as (old, _), serving(scoring(score)) as (new, _):
        result = compared(old, new, queries)
    assert result.returncode == status, result.stderr
    assert rows(result)["verdict"] == verdict


def test_each_container_gets_its_own_token(texts: Path):
    with embedding(letters, "one") as (old, _), embedding(letters, "two") as (new, _):
        assert compared(old, new, texts, OLD_TOKEN="one", NEW_TOKEN="two").returncode == 0
        refused = compared(old, new, texts, OLD_TOKEN="one")
    assert refused.returncode == 1
    expected = f"compare: the new container at {new} answered 401: set NEW_TOKEN to a bearer token that it accepts"
    assert refused.stderr.splitlines()[-1] == expected


def test_a_new_container_that_nobody_runs_is_named(texts: Path):
    new = f"http://127.0.0.1:{free_port()}"
    result = compared(new, new, texts)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"compare: the connection to the new container at {new} failed: Connection refused\n"


def test_a_bundle_beside_an_address_is_refused(texts: Path):
    result = compared("http://x", "http://x", texts, "--bundle", "x")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == "compare: error: --new cannot be combined with --bundle"
