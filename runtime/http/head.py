"""Parses the head of a request: the request line and the headers. httptools (llhttp) decides what is well-formed."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

import httptools

from runtime.errors import MalformedRequest, UnsupportedVersion
from runtime.trace_context import HEADER

HEAD_END = b"\r\n\r\n"
TRACEPARENT = HEADER.encode()

VERSIONS = ("1.1", "1.0")


@dataclass(frozen=True, slots=True)
class Head:
    """What a request says before its body."""

    method: str
    target: bytes
    """As sent: a path with a query, or a whole URL."""
    path: str
    """Without escapes."""
    query: bytes
    """As sent."""
    version: str
    """1.1 or 1.0."""
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""
    content_length: int | None
    """Bytes of the body; None if it is chunked. A request that announces nothing has 0."""
    keeps_alive: bool
    """Whether the client wants to use the connection again."""
    expects_continue: bool
    """Whether the client waits for ``100 Continue`` before it sends the body."""
    traceparent: bytes | None = None
    """The header of this name, as sent; None if there is none, or several."""


def parse_head(block: bytes) -> Head:
    """Parse a block that ends with an empty line. Raises ``MalformedRequest`` or ``UnsupportedVersion``.

    Each block has a parser of its own, so that a request cannot leave state for the next one on its connection.
    """
    head = _Collector()
    parser = httptools.HttpRequestParser(head)
    try:
        parser.feed_data(block)
    except httptools.HttpParserUpgrade:
        # NOTE: the parser stops where another protocol could begin. An offer to upgrade may be ignored (RFC 9110, 7.8),
        # and Java's HttpClient makes one with every request.
        pass
    except httptools.HttpParserError as error:
        raise MalformedRequest(f"the request is not valid HTTP/1.1: {error}") from None
    version = parser.get_http_version()
    if version not in VERSIONS:
        raise UnsupportedVersion(f"HTTP/{version} is not supported; this server speaks HTTP/1.1")
    path, query = split_target(head.target)
    return Head(
        method=parser.get_method().decode("ascii"),
        target=head.target,
        path=unquote(path.decode("latin-1")),
        query=query,
        version=version,
        headers=head.headers,
        content_length=None if head.is_chunked else head.content_length,
        keeps_alive=head.connection != b"close" if version == "1.1" else head.connection == b"keep-alive",
        expects_continue=head.expects_continue,
        traceparent=head.traces[0] if len(head.traces) == 1 else None,
    )


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """The path and the query of a request's target, both as sent. Raises ``MalformedRequest``."""
    if target.startswith(b"/"):
        path, _, query = target.partition(b"#")[0].partition(b"?")
        return path, query
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise MalformedRequest("the request's target is not a valid URL") from None
    return url.path or b"/", url.query or b""


class _Collector:
    """Receives httptools' callbacks."""

    __slots__ = ("connection", "content_length", "expects_continue", "headers", "is_chunked", "target", "traces")

    def __init__(self) -> None:
        self.target = self.connection = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.traces: list[bytes] = []
        self.content_length = 0
        self.is_chunked = self.expects_continue = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers.append((name, value))
        if name == b"content-length":
            self.content_length = int(value)
        elif name == b"transfer-encoding":
            self.is_chunked = True
        elif name == b"connection":
            options = [option.strip() for option in value.lower().split(b",")]
            self.connection = next((option for option in (b"close", b"keep-alive") if option in options), b"")
        elif name == b"expect":
            self.expects_continue = value.lower() == b"100-continue"
        elif name == TRACEPARENT:
            self.traces.append(value)
