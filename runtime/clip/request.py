"""The request for the vectors of texts and images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.images.base64_text import Base64
from runtime.text.request import EmbedRequest


@dataclass(frozen=True)
class VectorizeRequest:
    """Texts with everything decided, and images as they were sent: reading them takes a thread's time."""

    texts: tuple[EmbedRequest, ...]
    images: Sequence[Base64]
