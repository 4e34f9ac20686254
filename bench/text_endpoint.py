"""What endpoints that stand in for a model have in common: they read requests as every kind of model does."""

from __future__ import annotations

import sys

from runtime.api.openapi.operation import Operation
from runtime.api.vectors_fields import read_fields


class TextEndpoint:
    """Everything of ``Endpoint`` but the answer."""

    operation = Operation("The vector of a text")

    def parse(self, body: bytes) -> str:
        """The text of a request."""
        text, _config = read_fields(body)
        return text

    def size(self, item: str) -> int:
        """Bytes of memory."""
        return sys.getsizeof(item)

    def fits(self, item: str) -> bool:
        """Whether it can be answered at all: always."""
        return True
