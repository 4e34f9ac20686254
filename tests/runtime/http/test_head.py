"""Heads of requests: what is taken out of them, and what is refused."""

from __future__ import annotations

import pytest

from runtime.errors import MalformedRequest, UnsupportedVersion
from runtime.http.head import parse_head, split_target


def head_of(*lines: bytes) -> bytes:
    return b"\r\n".join([*lines, b"", b""])


def test_a_head_has_method_target_headers_and_the_length_of_the_body():
    head = parse_head(head_of(b"POST /vectors?a=b HTTP/1.1", b"Host: x", b"Content-Length: 12", b"X-Odd:  two  words "))
    assert (head.method, head.target, head.version) == ("POST", b"/vectors?a=b", "1.1")
    assert head.headers[:2] == [(b"host", b"x"), (b"content-length", b"12")]
    assert head.headers[2][1].strip() == b"two  words"
    assert head.content_length == 12
    assert head.keeps_alive
    assert not head.expects_continue


@pytest.mark.parametrize(
    ("line", "length"),
    [
        (b"A: b", 0),
        (b"Content-Length: 0", 0),
        (b"Transfer-Encoding: chunked", None),
        (b"TRANSFER-ENCODING: Chunked", None),
    ],
)
def test_a_body_is_sized_or_chunked(line: bytes, length: int | None):
    assert parse_head(head_of(b"POST / HTTP/1.1", line)).content_length == length


@pytest.mark.parametrize(
    ("first", "header", "keeps_alive"),
    [
        (b"GET / HTTP/1.1", b"A: b", True),
        (b"GET / HTTP/1.1", b"Connection: close", False),
        (b"GET / HTTP/1.1", b"connection: TE, Close", False),
        (b"GET / HTTP/1.1", b"Connection: Upgrade, HTTP2-Settings", True),
        (b"GET / HTTP/1.0", b"A: b", False),
        (b"GET / HTTP/1.0", b"Connection: keep-alive", True),
    ],
)
def test_the_client_says_whether_it_uses_the_connection_again(first: bytes, header: bytes, keeps_alive: bool):
    assert parse_head(head_of(first, header)).keeps_alive is keeps_alive


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue"])
def test_a_client_may_wait_before_it_sends_the_body(value: bytes):
    assert parse_head(head_of(b"POST / HTTP/1.1", b"Content-Length: 1", b"Expect: " + value)).expects_continue


@pytest.mark.parametrize("name", [b"h2c", b"websocket", b"TLS/1.0"])
def test_an_offer_to_upgrade_is_ignored(name: bytes):
    head = parse_head(
        head_of(
            b"POST /vectors HTTP/1.1",
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: " + name,
            b"Content-Length: 13",
        )
    )
    assert (head.method, head.content_length) == ("POST", 13)


@pytest.mark.parametrize("version", [b"0.9", b"2.0", b"1.2"])
def test_other_versions_are_refused(version: bytes):
    with pytest.raises((UnsupportedVersion, MalformedRequest)):
        parse_head(head_of(b"GET / HTTP/" + version, b"Host: x"))


@pytest.mark.parametrize(
    "lines",
    [
        [b"NONSENSE"],
        [b"GET / HTTP/1.1", b"No colon"],
        [b"GET / HTTP/1.1", b"Space : before colon"],
        [b"GET / HTTP/1.1", b"Folded: a", b" b"],
        [b"GET / HTTP/1.1", b"Nul: \x00"],
        [b"POST / HTTP/1.1", b"Content-Length: 3", b"Content-Length: 4"],
        [b"POST / HTTP/1.1", b"Content-Length: 3, 3"],
        [b"POST / HTTP/1.1", b"Content-Length: -1"],
        [b"POST / HTTP/1.1", b"Content-Length: +1"],
        [b"POST / HTTP/1.1", b"Content-Length: 0x10"],
        [b"POST / HTTP/1.1", b"Content-Length: 18446744073709551616"],
        [b"POST / HTTP/1.1", b"Content-Length: " + b"1" * 5000],
        [b"POST / HTTP/1.1", b"Content-Length: 3", b"Transfer-Encoding: chunked"],
        [b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", b"Content-Length: 3"],
        [b"POST / HTTP/1.1", b"Transfer-Encoding: gzip"],
        [b"POST / HTTP/1.1", b"Transfer-Encoding: chunked, gzip"],
    ],
)
def test_what_is_ambiguous_or_malformed_is_refused(lines: list[bytes]):
    with pytest.raises(MalformedRequest):
        parse_head(head_of(*lines))


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (b"/vectors", (b"/vectors", b"")),
        (b"/vectors?a=b?c", (b"/vectors", b"a=b?c")),
        (b"//vectors", (b"//vectors", b"")),
        (b"/a#b?c", (b"/a", b"")),
        (b"http://host:8080/vectors?q", (b"/vectors", b"q")),
        (b"http://host", (b"/", b"")),
    ],
)
def test_a_target_is_a_path_and_a_query(target: bytes, parts: tuple[bytes, bytes]):
    assert split_target(target) == parts


def test_a_target_that_is_no_url_is_refused():
    with pytest.raises(MalformedRequest, match="not a valid URL"):
        split_target(b"http://")


@pytest.mark.parametrize(
    ("target", "path"), [(b"/a%20b?c%20d", "/a b"), (b"/%C3%A9", "/\u00e9"), (b"http://x/vectors?c%20d", "/vectors")]
)
def test_a_head_has_its_path_without_escapes_and_its_query_as_sent(target: bytes, path: str):
    head = parse_head(head_of(b"POST " + target + b" HTTP/1.1"))
    assert head.path == path
    assert head.query == (b"c%20d" if b"?" in target else b"")
