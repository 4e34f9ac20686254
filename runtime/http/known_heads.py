"""Remembers heads of requests: clients send the same ones again and again."""

from __future__ import annotations

import functools

from runtime.http.head import Head, parse_head

MOST_HEADS = 512
"""Of one client, as many as its texts have lengths: nothing else differs between Weaviate's requests."""

MOST_BYTES = 512
"""A longer head is not remembered. So all of them take a megabyte or two."""


class KnownHeads:
    """Parses each head once. The least recently used one makes way. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._parse = functools.lru_cache(MOST_HEADS)(parse_head)

    @property
    def count(self) -> int:
        """How many are remembered."""
        return self._parse.cache_info().currsize

    def parse(self, block: bytes) -> Head:
        """As ``parse_head``; what it raises is not remembered. Nobody may change the head."""
        return self._parse(block) if len(block) <= MOST_BYTES else parse_head(block)
