"""What a route takes and answers: the requests of a load, and the checks of what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from bench.load.texts import Length
from bench.load.wire import Request


class Route(Protocol):
    """One route of a server, and what is sent to it."""

    def requests(self, length: Length, port: int, seed: str) -> Iterator[Request]:
        """Requests without end, none of them twice, and the same ones for the same seed."""

    def check(self, response: bytes | bytearray, request: Request) -> None:
        """Raise ``LoadFailed`` unless this is a 200 that answers the request.

        PERF: the load generator shares the cores with the server, so this does not parse the JSON.
        """

    def parse(self, response: bytes | bytearray, request: Request) -> list[float]:
        """The numbers of the answer, which is checked completely. Raises ``LoadFailed``."""
