"""Bad images of every class beside good requests in flight: each fails alone, and the others see nothing of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.support.bundles.clips import clip_bundle
from tests.support.images import bombs
from tests.support.images.pictures import Kind, encoded, noise
from tests.support.images.samples import SAMPLES
from tests.support.server.server_process import Connection, Server, ready

JUNK = np.random.default_rng(1).bytes(1_000_000)
TRUNCATED = encoded(noise(300, 200), Kind("RGB", "JPEG"))


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def large(beginning: bytes) -> str:
    return text_of(beginning + JUNK)


BAD: dict[str, tuple[Callable[[], str], str]] = {
    "not base64": (lambda: "hello!", "is not base64: "),
    "not ASCII": (lambda: "é" * 100_000, "is not base64: a character is not ASCII"),
    "quotes": (lambda: '"' * 100_000, "is not base64: only base64 data is allowed"),
    "not base64 at its end": (lambda: large(bombs.jpeg_header(9, 9)) + "!", "is not base64: "),
    "no image": (lambda: large(bytes(16)), "not bytes of an unknown format"),
    "an SVG": (lambda: text_of(b"<svg/>"), "not an SVG, which has no pixels"),
    "too many pixels": (lambda: large(bombs.jpeg_header(1001, 1000)), "has 1001 x 1000 pixels, more than 1000000, "),
    "a PNG that says that it is large": (
        lambda: text_of(bombs.png(9000, 9000, bombs.png_chunk(b"IDAT", JUNK))),
        "has 9000 x 9000 pixels, more than 1000000, ",
    ),
    "no pixels": (lambda: text_of(bombs.bmp(0, 3)), "has no pixels: it is 0 x 3"),
    "truncated": (lambda: text_of(bombs.png(9, 9, bombs.png_chunk(b"IDAT", JUNK))[:-99]), "is a truncated PNG"),
    "cut in its pixels": (lambda: text_of(TRUNCATED[: len(TRUNCATED) // 2]), "is a truncated JPEG"),
    "chunks": (
        lambda: text_of(bombs.png_with(bombs.png_chunk(b"tEXt"), 40_000)),
        "is a PNG with more than 32768 chunks",
    ),
    "scans": (lambda: large(bombs.jpeg_with_scans(65)), "is a JPEG with more than 64 scans"),
}

GOOD = [
    {"texts": ["river"], "images": []},
    {"texts": ["a stone", "light under market " * 30]},
    *({"images": [text_of(path.read_bytes())]} for path in SAMPLES[:4]),
    {"texts": ["water"], "images": [text_of(encoded(noise(640, 480), Kind("RGB", "JPEG")))]},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "log"
    with ready(clip_bundle("transformers"), log, MAX_IMAGE_PIXELS="1000000", WORKERS="1") as server:
        yield server


def request(fields: object) -> bytes:
    body = json.dumps(fields).encode()
    return b"POST /vectorize HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def answers_together(server: Server, requests: list[bytes]) -> list[tuple[int, object]]:
    """Each on a connection of its own; none is complete before all others have arrived but for their last byte."""
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in requests]
        for connection, data in zip(connections, requests, strict=True):
            connection.send(data[:-1])
        for connection, data in zip(connections, requests, strict=True):
            connection.send(data[-1:])
        return [read(connection) for connection in connections]


def read(connection: Connection) -> tuple[int, object]:
    answer = connection.answer()
    return answer.status, answer.json


def test_bad_images_among_good_requests_in_flight_fail_alone_by_index_and_reason(server: Server):
    alone = [answers_together(server, [request(fields)])[0] for fields in GOOD]
    assert [status for status, _ in alone] == [200] * len(GOOD)
    requests, expected = [], []
    good = text_of(Path(SAMPLES[0]).read_bytes())
    for number, (make, reason) in enumerate(BAD.values()):
        requests += [request(GOOD[number % len(GOOD)]), request({"texts": ["river"], "images": [good, make()]})]
        expected += [alone[number % len(GOOD)], reason]
    for _ in range(2):
        answers = answers_together(server, requests)
        assert answers[::2] == expected[::2]
        for (status, body), reason in zip(answers[1::2], expected[1::2], strict=True):
            assert status == 400
            assert isinstance(body, dict)
            assert body["error"].startswith("images[1] ")
            assert reason in body["error"]
