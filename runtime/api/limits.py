"""Holds the limits that one request is held to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """``body_seconds``: how long a caller may take to send a body. Below the 50 s after which Weaviate gives up."""

    max_body_bytes: int
    body_seconds: float = 30.0
