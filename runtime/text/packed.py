"""Token ids as the bytes of int64: those of several texts are joined without a look at any of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

ID_BYTES = 8


def pack(ids: Iterable[int]) -> bytes:
    """The bytes of these ids."""
    return array("q", ids).tobytes()


def unpack(packed: bytes) -> list[int]:
    """The ids again."""
    return memoryview(packed).cast("q").tolist()
