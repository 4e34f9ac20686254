"""The frame of a response."""

from __future__ import annotations

import pytest

from bench.errors import LoadFailed
from bench.load.wire import body_of, closes, response_size


class TestWire:
    def test_a_response_is_measured_once_its_header_is_there(self):
        response = b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-LENGTH: 3\r\n\r\nabc"
        assert response_size(response) == len(response)
        assert response_size(response[:30]) is None

    def test_a_response_without_length_is_refused(self):
        with pytest.raises(LoadFailed, match="Content-Length"):
            response_size(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    def test_the_body_is_behind_the_first_blank_line(self):
        assert body_of(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nab\r\n\r\nc") == b"ab\r\n\r\nc"

    @pytest.mark.parametrize(
        ("head", "closed"),
        [
            (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0", True),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCONNECTION: Close", True),
            (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 19", False),
        ],
    )
    def test_a_header_says_whether_the_connection_ends(self, head: bytes, closed: bool):
        assert closes(head + b"\r\n\r\n\r\nConnection: close") == closed
