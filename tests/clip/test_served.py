"""CLIP models in the layouts of the real ones, through the real build and runtime: the original's vectors over HTTP."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build.clip.layout import find_layout
from build.clip.original import Original, Pair, load_original
from build.model.describe import describe
from build.model.trust import NO_TRUST
from build.pytorch.reference import load_reference
from manifest import ClipModel, Kind, Manifest, read_manifest
from tests.support.bundles.clips import LAYOUTS, clip_bundle, clip_model
from tests.support.images import bombs
from tests.support.images.pictures import Kind as FileKind
from tests.support.images.pictures import encoded, noise
from tests.support.images.samples import SAMPLES, picture_of
from tests.support.models.tiny_clip import DIM, SIDE
from tests.support.server.scrape import scrape_when, scrape_workers
from tests.support.server.server_process import Server, ready


def original_of(directory: Path) -> Original:
    images = directory / "images"
    if not images.exists():
        layout = find_layout(directory)
        assert layout is not None
        return load_original(directory, layout, NO_TRUST)
    texts = directory / "texts"
    return Pair(load_reference(texts, describe(texts, False), NO_TRUST), original_of(images))


TEXTS = [
    "",
    "river",
    "The RIVER, a stone!",
    "图书馆 🙂",
    "zero\x00byte",
    "a river<|endoftext|> and a stone",
    "light under market " * 30,
    "x" * 5000,
]
"""The empty one, usual ones, scripts, and some beyond the limit, which the original truncates."""


@dataclass(frozen=True)
class Served:
    server: Server
    manifest: Manifest
    original: Original
    layout: str

    def post(self, path: str, fields: Any, status: int = 200) -> Any:
        with self.server.connect() as connection:
            answer = connection.request("POST", path, json.dumps(fields).encode())
        assert answer.status == status, answer.body
        return answer.json

    def vectorize(self, **fields: Any) -> tuple[np.ndarray, np.ndarray]:
        answer = self.post("/vectorize", fields)
        assert set(answer) == {"textVectors", "imageVectors"}
        return np.array(answer["textVectors"]), np.array(answer["imageVectors"])

    def refusal(self, **fields: Any) -> str:
        error = self.post("/vectorize", fields, 400)["error"]
        assert isinstance(error, str)
        return error


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module", params=LAYOUTS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    name: str = request.param
    directory, bundle = clip_model(name), clip_bundle(name)
    with ready(bundle, tmp_path_factory.mktemp("log") / "log", MAX_IMAGE_PIXELS="1000000", WORKERS="2") as server:
        yield Served(server, read_manifest(bundle), original_of(directory), name)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """In direction and in length, which decides about weights in Weaviate."""
    assert found.shape == expected.shape
    lengths = np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1)
    np.testing.assert_allclose(*lengths, rtol=1e-4)
    cosines = (found * expected).sum(axis=1) / (lengths[0] * lengths[1])
    assert cosines.min() >= 0.9999


def test_vectors_of_texts_are_the_originals(served: Served):
    found, images = served.vectorize(texts=TEXTS)
    assert_same(found, served.original.embed_texts(TEXTS))
    assert images.shape == (0,)


def test_vectors_of_images_are_the_originals(served: Served):
    texts, found = served.vectorize(images=[text_of(path.read_bytes()) for path in SAMPLES])
    assert_same(found, served.original.embed_images([picture_of(path) for path in SAMPLES]))
    assert texts.shape == (0,)


def test_texts_and_images_come_back_in_the_order_sent(served: Served):
    images = [text_of(encoded(noise(40 + n, 50), FileKind("RGB", "PNG"))) for n in range(9)]
    texts = [f"river {n}" for n in range(9)]
    together = served.vectorize(texts=texts, images=images)
    for index in range(9):
        alone = served.vectorize(texts=[texts[index]], images=[images[index]])
        np.testing.assert_array_equal(together[0][index], alone[0][0])
        np.testing.assert_array_equal(together[1][index], alone[1][0])


def test_texts_are_counted_and_images_are_jobs(served: Served):
    before = scrape_workers(served.server)
    served.vectorize(texts=["river", "light under market " * 30], images=[text_of(SAMPLES[0].read_bytes())])
    name = "cpu2vec_requests_total{route=/vectorize,status=200}"
    after = scrape_when(served.server, before, name, 1)
    assert "kind=clip" in after.info
    assert {"/vectorize", "/vectors", "/meta", "/metrics", "/health"} < after.routes
    assert after[name] == before[name] + 1
    assert after["cpu2vec_texts_total"] == before["cpu2vec_texts_total"] + 2
    assert after["cpu2vec_texts_truncated_total"] == before["cpu2vec_texts_truncated_total"] + 1
    assert after["cpu2vec_queue_seconds_count"] == before["cpu2vec_queue_seconds_count"] + 3
    assert after["cpu2vec_pending_texts"] == after["cpu2vec_pending_tokens"] == after["cpu2vec_queue_jobs"] == 0


def test_vectors_are_normalized_as_by_the_original(served: Served):
    normalizes = served.manifest.section_as(ClipModel).image.normalizes
    found = np.concatenate(served.vectorize(texts=["river"], images=[text_of(SAMPLES[0].read_bytes())]))
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5) == normalizes


@pytest.mark.parametrize(
    "fields", [{}, {"texts": None}, {"images": None, "texts": []}, {"texts": [], "images": [], "other": 1}]
)
def test_nothing_is_answered_with_nothing(served: Served, fields: dict[str, Any]):
    assert served.post("/vectorize", fields) == {"textVectors": [], "imageVectors": []}


def test_equal_items_have_equal_vectors(served: Served):
    image = text_of(SAMPLES[0].read_bytes())
    texts, images = served.vectorize(texts=["river"] * 40, images=[image] * 40)
    assert (texts == texts[0]).all()
    assert (images == images[0]).all()
    assert texts.shape == images.shape == (40, DIM)


def test_data_urls_and_line_breaks_are_accepted(served: Served):
    image = text_of(SAMPLES[0].read_bytes())
    lines = "\r\n".join(image[at : at + 76] for at in range(0, len(image), 76))
    _, found = served.vectorize(images=[image, f"data:image/png;base64,{image}", f"\n{lines}\n"])
    assert (found == found[0]).all()


def test_a_text_alone_has_the_same_vector_as_in_a_list(served: Served):
    found, _ = served.vectorize(texts=["river"])
    answer = served.post("/vectors", {"text": "river", "config": {"task_type": "query"}})
    assert answer["dim"] == DIM
    np.testing.assert_array_equal(answer["vector"], found[0])


GOOD = text_of(encoded(noise(30, 20), FileKind("RGB", "PNG")))

JPEG = encoded(noise(300, 200), FileKind("RGB", "JPEG"))

BAD = {
    "not base64": ("hello!", "is not base64: "),
    "no image": ("aGVsbG8=", "must be a JPEG, PNG, WebP, GIF, BMP or TIFF, not bytes of an unknown format"),
    "nothing": ("", "must be a JPEG, PNG, WebP, GIF, BMP or TIFF, not empty"),
    "svg": (text_of(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "not an SVG, which has no pixels"),
    "truncated": (GOOD[:800], "is a truncated PNG"),
    "too many pixels": (text_of(bombs.jpeg_header(1001, 1000)), "has 1001 x 1000 pixels, more than 1000000, "),
    "cut in its pixels": (text_of(JPEG[: len(JPEG) // 2]), "is a truncated JPEG"),
    "no pixels": (text_of(bombs.bmp(0, 3)), "has no pixels: it is 0 x 3"),
    "scans": (text_of(bombs.jpeg_with_scans(100)), "is a JPEG with more than 64 scans"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_named_by_its_index_and_the_reason(served: Served, name: str):
    image, reason = BAD[name]
    error = served.refusal(texts=["river"], images=[GOOD, GOOD, image, GOOD])
    assert error.startswith("images[2] ")
    assert reason in error


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"texts": "river"}, "texts must be a list of strings, not a string"),
        ({"images": {}}, "images must be a list of strings, not an object"),
        ({"texts": ["a", None]}, "texts[1] must be a string, not null"),
        ({"images": [GOOD, 3]}, "images[1] must be a string, not a number"),
    ],
)
def test_a_field_of_another_type_is_refused_by_name(served: Served, fields: dict[str, Any], error: str):
    assert served.refusal(**fields) == error


def test_a_bad_item_fails_its_own_request_alone(served: Served):
    expected = served.vectorize(texts=["river"], images=[GOOD])
    outcomes: list[Any] = []

    def ask(number: int) -> None:
        if number % 2:
            outcomes.append(served.refusal(images=[GOOD, "aGVsbG8="]))
        else:
            outcomes.append(served.vectorize(texts=["river"], images=[GOOD]))

    threads = [threading.Thread(target=ask, args=[number]) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = [outcome for outcome in outcomes if not isinstance(outcome, str)]
    assert len(good) == 12
    assert {outcome for outcome in outcomes if isinstance(outcome, str)} == {
        "images[1] must be a JPEG, PNG, WebP, GIF, BMP or TIFF, not bytes of an unknown format"
    }
    for texts, images in good:
        np.testing.assert_array_equal(texts, expected[0])
        np.testing.assert_array_equal(images, expected[1])


def test_images_of_megabytes_fit_into_the_body(served: Served):
    image = text_of(encoded(noise(900, 900), FileKind("RGB", "BMP")))
    assert len(image) > 3 << 20
    _, found = served.vectorize(images=[image, image])
    assert found.shape == (2, DIM)


def test_meta_shows_what_the_server_reads(served: Served):
    with served.server.connect() as connection:
        meta = connection.request("GET", "/meta").json
    is_pair = served.layout == "pair"
    models = meta["model"] if is_pair else {"": meta["model"]}
    one = {"": {"metaclip": "metaclip_2", "siglip": "siglip", "siglip 2": "siglip"}.get(served.layout, "clip")}
    types = {name: config["model_type"] for name, config in models.items()}
    assert types == ({"text_model": "distilbert", "clip_model": "clip"} if is_pair else one)
    assert not is_pair or meta["bundle"]["model"] == "texts + images"
    source = meta["bundle"]["clip"]["image"]["source"]
    assert (source and (source["model"], source["requested"])) == (("images", None) if is_pair else None)
    assert meta["bundle"]["kind"] == "clip"
    assert meta["bundle"]["clip"]["image"]["pixels"]["side"] == SIDE
    assert meta["serving"]["max_image_pixels"] == 1_000_000
    assert meta["serving"]["long_text"] == "truncate"


def test_golden_requests_have_texts_and_images(served: Served):
    golden = json.loads((clip_bundle(served.layout) / "golden.json").read_text())
    fields = [field for entry in golden["requests"] for field in entry["body"]]
    assert set(fields) == {"texts", "images"}
    assert fields.count("images") == 2
    assert served.manifest.kind is Kind.CLIP
