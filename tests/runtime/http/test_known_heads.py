"""Heads that were seen before: the same as parsed anew, bounded, and never shared with an application."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.api.body import Receive, Send
from runtime.errors import MalformedRequest
from runtime.http.head import parse_head
from runtime.http.known_heads import MOST_BYTES, MOST_HEADS, KnownHeads
from tests.support.server.http_requests import LAST_GET, limits
from tests.support.server.http_server import run, serving


def block_of(*lines: bytes) -> bytes:
    return b"\r\n".join([b"POST /vectors?a=b HTTP/1.1", *lines, b"", b""])


def padded_to(size: int) -> bytes:
    return block_of(b"A: " + b"a" * (size - len(block_of(b"A: "))))


def test_a_head_is_parsed_once():
    heads = KnownHeads()
    block = block_of(b"Content-Length: 12")
    assert heads.parse(block) is heads.parse(bytes(bytearray(block)))
    assert heads.count == 1


@given(st.lists(st.tuples(st.sampled_from([b"A", b"Content-Length", b"Connection"]), st.integers(0, 3)), max_size=3))
def test_a_known_head_is_the_one_that_is_parsed_anew(headers: list[tuple[bytes, int]]):
    block, heads = block_of(*(b"%b: %d" % header for header in headers)), KnownHeads()
    for _ in range(2):
        try:
            expected = parse_head(block)
        except MalformedRequest:
            with pytest.raises(MalformedRequest):
                heads.parse(block)
        else:
            assert heads.parse(block) == expected


def test_what_is_refused_is_refused_again_and_not_remembered():
    heads = KnownHeads()
    for _ in range(2):
        with pytest.raises(MalformedRequest):
            heads.parse(block_of(b"Content-Length: 1", b"Content-Length: 2"))
    assert heads.count == 0


def test_heads_up_to_a_length_are_remembered():
    heads = KnownHeads()
    assert heads.parse(padded_to(MOST_BYTES)).path == "/vectors"
    assert heads.parse(padded_to(MOST_BYTES + 1)).path == "/vectors"
    assert heads.count == 1


def test_the_one_that_was_not_used_for_longest_makes_way():
    heads = KnownHeads()
    first, second = (heads.parse(block_of(b"A: %d" % number)) for number in range(2))
    for number in range(2, MOST_HEADS):
        heads.parse(block_of(b"A: %d" % number))
    assert heads.parse(block_of(b"A: 0")) is first
    heads.parse(block_of(b"A: one more"))
    assert heads.count == MOST_HEADS
    assert heads.parse(block_of(b"A: 0")) is first
    assert heads.parse(block_of(b"A: 1")) is not second


def test_an_application_that_changes_its_headers_changes_nobody_elses():
    seen: list[int] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        seen.append(len(scope["headers"]))
        scope["headers"].clear()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def main() -> None:
        async with serving(app, limits()) as server:
            for _ in range(2):
                await server.talk(LAST_GET)

    run(main)
    assert seen[0] == seen[1] > 0
