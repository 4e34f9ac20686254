"""``make compare`` of two containers of texts and images that run: by Python and numpy alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build.clip.drawings import COUNT
from build.compare.hypotheses import Cause
from build.fidelity.requests import heldout_texts
from tests.support.compare.numpy_alone import compared, rows
from tests.support.images.samples import FOLDER, SAMPLES
from tests.support.server.stub_container import Handler, Seen, send, serving

DIM = 12

Embed = Callable[[str], np.ndarray]


def at_random(item: str) -> np.ndarray:
    """A vector for an item, of a length around 9."""
    seed = int.from_bytes(hashlib.sha256(item.encode()).digest()[:8], "little")
    random = np.random.default_rng(seed)
    return random.normal(size=DIM) * random.uniform(2, 3)


@contextmanager
def both_towers(texts: Embed = at_random, images: Embed = at_random, token: str = "") -> Iterator[tuple[str, Seen]]:
    """A container as Weaviate's multi2vec-clip has it."""

    def reply(handler: Handler, number: int) -> None:
        if token and handler.headers["Authorization"] != f"Bearer {token}":
            return send(handler, 401, b'{"error": "no"}')
        if handler.path != "/vectorize":
            return send(handler, 404, b'{"detail": "Not Found"}')
        fields = json.loads(handler.body)
        answer = {
            "textVectors": [texts(text).tolist() for text in fields.get("texts", [])],
            "imageVectors": [images(image).tolist() for image in fields.get("images", [])],
        }
        return send(handler, 200, json.dumps(answer).encode())

    with serving(reply) as served:
        yield served


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "texts.txt"
    lines = [text for text in heldout_texts()[:30] if "\n" not in text]
    file.write_text("\n".join([*lines, lines[0]]), encoding="utf-8")
    return file


def sent(seen: Seen, field: str) -> list[str]:
    """All items of one field that a container was asked for, with those that were sent first to see that it answers."""
    return [item for body in seen.bodies for item in json.loads(body).get(field, [])]


def test_equal_containers_are_a_drop_in_with_the_figures_of_both_towers(texts: Path):
    file = texts.with_name("compared.json")
    with both_towers() as (old, asked), both_towers() as (new, asked_too):
        result = compared(old, new, texts, "--json", str(file))
    assert result.returncode == 0, result.stderr
    shown = rows(result)
    assert shown["verdict"] == "drop in"
    assert shown["images"] == f"{COUNT} drawn by this project"
    assert shown["texts"].endswith("(1 repeated ones left out)")
    assert "new over old 1.000 to 1.000" in shown["lengths"]
    value: dict[str, Any] = json.loads(file.read_text())
    assert set(value["figures"]) == {"texts", "images"}
    assert value["figures"]["images"]["texts"] == COUNT
    assert value["figures"]["images"]["length_ratios"] == [1, 1]
    assert (value["findings"], value["notes"]) == ({}, [])
    assert set(asked.paths) == {"/vectorize"}
    assert sent(asked, "images") == sent(asked_too, "images")
    assert len(set(sent(asked, "images"))) == COUNT


def test_a_directorys_images_are_sent(texts: Path):
    with both_towers() as (old, asked), both_towers() as (new, _):
        result = compared(old, new, texts, "--images", str(FOLDER))
    assert result.returncode == 0, result.stderr
    assert rows(result)["images"] == f"{len(SAMPLES)} of {FOLDER}"
    assert sent(asked, "images") == [base64.b64encode(path.read_bytes()).decode() for path in SAMPLES]
    assert f"only {len(SAMPLES)} images" in result.stdout


def unit(item: str) -> np.ndarray:
    vector = at_random(item)
    return vector / np.linalg.norm(vector)


def test_other_lengths_alone_need_another_import(texts: Path):
    with both_towers() as (old, _), both_towers(images=unit) as (new, _):
        result = compared(old, new, texts)
    assert result.returncode == 3, result.stderr
    shown = rows(result)
    assert shown["because"].startswith("images: new vectors are ")
    assert shown["note"].startswith("only lengths differ")
    assert "why" not in shown
    assert "new unit length" in result.stdout


def test_another_image_tower_is_found_out(texts: Path):
    with both_towers() as (old, _), both_towers(images=lambda item: at_random(item[::-1])) as (new, _):
        result = compared(old, new, texts)
    assert result.returncode == 3, result.stderr
    assert rows(result)["because"].startswith("images: the 1st percentile")
    assert rows(result)["why"].startswith(f"images: {Cause.ANOTHER_MODEL}")


def test_a_token_is_asked_for_by_name(texts: Path):
    with both_towers(token="one") as (old, _), both_towers(token="two") as (new, _):
        assert compared(old, new, texts, OLD_TOKEN="one", NEW_TOKEN="two").returncode == 0
        refused = compared(old, new, texts, OLD_TOKEN="one")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].endswith("set NEW_TOKEN to a bearer token that it accepts")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"textVectors": []}, "answered 'a first text' without a vector of finite numbers"),
        ({"textVectors": [[1.0], [2.0]]}, "answered 'a first text' without a vector of finite numbers"),
        ({"textVectors": None}, "answered 'a first text' without a vector of finite numbers"),
        ({"textVectors": [[]]}, "answered 'a first text' without a vector of finite numbers"),
    ],
)
def test_an_old_container_that_answers_otherwise_is_an_error(tmp_path: Path, answer: Any, message: str):
    file = tmp_path / "texts.txt"
    file.write_text("a first text\na second one\n")
    with (
        serving(lambda handler, number: send(handler, 200, json.dumps(answer).encode())) as (old, _),
        both_towers() as (new, _),
    ):
        result = compared(old, new, file)
    assert result.returncode == 1
    assert message in result.stderr


def test_an_old_container_without_the_route_is_an_error(texts: Path):
    with serving(lambda handler, number: send(handler, 404, b"{}")) as (old, _), both_towers() as (new, _):
        result = compared(old, new, texts)
    assert result.returncode == 1
    assert "there is no POST /vectorize below this address" in result.stderr


@pytest.mark.parametrize("option", ["--task", "--pooling-strategy"])
def test_what_such_requests_do_not_have_is_refused(texts: Path, option: str):
    value = {"--task": "query", "--pooling-strategy": "cls"}[option]
    with both_towers() as (new, _):
        result = compared(new, new, texts, option, value)
    assert result.returncode == 1
    assert f"{option} must not be given" in result.stderr
