"""Bodies out of the bytes of a connection, however these are cut."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import BodyTooLarge, MalformedRequest
from runtime.http.decoder import MAX_CHUNK_LINE, BodyDecoder, ChunkedDecoder, SizedDecoder


def fed(decoder: BodyDecoder, data: bytes, cuts: list[int]) -> bytes:
    """Feed the data in pieces; return what follows the body."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    rest = b""
    for start, end in itertools.pairwise(edges):
        piece = data[start:end]
        rest += piece if decoder.is_complete else decoder.feed(piece)
    return rest


def chunked(parts: list[bytes], extension: bytes = b"") -> bytes:
    lines = [b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts if part]
    return b"".join(lines) + b"0\r\n\r\n"


@given(st.binary(max_size=60), st.binary(max_size=20), st.lists(st.integers(0, 100), max_size=6))
def test_a_sized_body_is_the_announced_bytes_and_nothing_more(body: bytes, behind: bytes, cuts: list[int]):
    decoder = SizedDecoder(len(body))
    assert fed(decoder, body + behind, cuts) == behind
    assert decoder.is_complete
    assert (decoder.size, decoder.content()) == (len(body), body)


def test_a_sized_body_is_incomplete_before_its_last_byte():
    decoder = SizedDecoder(3)
    assert decoder.feed(b"ab") == b""
    assert not decoder.is_complete
    assert decoder.size == 2


@given(
    st.lists(st.binary(max_size=40), max_size=5),
    st.binary(max_size=20),
    st.sampled_from([b"", b";name=value", b" ", b";a;b=c"]),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_a_chunked_body_is_its_chunks_joined(parts: list[bytes], behind: bytes, extension: bytes, cuts: list[int]):
    decoder = ChunkedDecoder(max_bytes=1000)
    assert fed(decoder, chunked(parts, extension) + behind, cuts) == behind
    assert decoder.is_complete
    assert decoder.content() == b"".join(parts)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_any_bytes_are_a_body_or_refused(data: bytes, cuts: list[int]):
    decoder = ChunkedDecoder(max_bytes=100)
    try:
        fed(decoder, data, cuts)
    except (MalformedRequest, BodyTooLarge):
        return
    assert decoder.size <= 100


@pytest.mark.parametrize("limit", [9, 10, 11])
def test_a_chunked_body_may_have_exactly_the_limit(limit: int):
    decoder = ChunkedDecoder(max_bytes=limit)
    data = chunked([b"12345", b"67890"])
    if limit < 10:
        with pytest.raises(BodyTooLarge, match="larger than 9 bytes"):
            decoder.feed(data)
    else:
        decoder.feed(data)
        assert decoder.content() == b"1234567890"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"x\r\n", "no valid size"),
        (b"\r\n", "no valid size"),
        (b"-1\r\n", "no valid size"),
        (b"0x1\r\na\r\n", "no valid size"),
        (b"1_0\r\n", "no valid size"),
        (b"1" * 17 + b"\r\n", "no valid size"),
        (b"1\r\nab\r\n", "longer than announced"),
        (b"1\na\n", "no valid size|announced by more"),
        (b"0\r\nTrailer: x\r\n\r\n", "trailers"),
        (b"1;" + b"x" * MAX_CHUNK_LINE, "announced by more than 256 bytes"),
    ],
)
def test_what_is_no_chunk_is_refused(data: bytes, message: str):
    with pytest.raises(MalformedRequest, match=message):
        ChunkedDecoder(max_bytes=1000).feed(data + b"\r\n" * MAX_CHUNK_LINE)


def test_a_huge_chunk_is_refused_before_it_arrives():
    with pytest.raises(BodyTooLarge):
        ChunkedDecoder(max_bytes=1000).feed(b"ffffffffffffffff\r\n")


SIZE, PART = 8 << 20, 64 << 10


@pytest.mark.parametrize("decoder", [SizedDecoder(SIZE), ChunkedDecoder(SIZE)], ids=["sized", "chunked"])
def test_a_large_body_is_in_memory_once(decoder: SizedDecoder | ChunkedDecoder):
    tracemalloc.start()
    try:
        if isinstance(decoder, ChunkedDecoder):
            decoder.feed(b"%x\r\n" % SIZE)
        for number in range(SIZE // PART):
            decoder.feed(bytes([number]) * PART)
        if isinstance(decoder, ChunkedDecoder):
            decoder.feed(b"\r\n0\r\n\r\n")
        content = decoder.content()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(content) == SIZE
    assert content[PART - 1 : PART + 1] == b"\0\1"
    # It grows by eighths.
    assert peak < SIZE * 9 // 8 + 4 * PART
