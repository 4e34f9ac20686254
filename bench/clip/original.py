"""Embeds texts and images with sentence-transformers in fp32: what all other vectors are compared with."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import LoadFailed
from bench.load.texts import SHORT, endless_texts
from bench.load.vectorize import IMAGES, TEXTS, parse_vectorize, vectorize_request
from bench.server.fidelity import ask
from build.clip.heldout import HeldoutImage, heldout_images
from build.fidelity.cosine import cosines, summarize
from manifest import Fidelity

COUNT = 16
"""So many texts, and as many images. The texts are those of loads: the container answers long ones with a 500."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class OriginalTowers:
    """Implements ``Original``."""

    texts: Sequence[str]
    images: Sequence[bytes]
    text_vectors: Vectors
    """(texts, dim)"""
    image_vectors: Vectors
    """(images, dim)"""

    @property
    def numbers(self) -> int:
        return int(self.text_vectors.shape[1])

    def compare(self, port: int) -> Fidelity:
        images = [base64.b64encode(image).decode() for image in self.images]
        served = [*_served(port, TEXTS, self.texts), *_served(port, IMAGES, images)]
        if {len(vector) for vector in served} != {self.numbers}:
            raise LoadFailed(f"the vectors must have {self.numbers} components")
        expected = np.concatenate([self.text_vectors, self.image_vectors])
        return Fidelity(cosine=summarize(cosines(np.asarray(served, dtype=np.float32), expected)))


def _served(port: int, field: str, items: Sequence[str]) -> list[list[float]]:
    answers = ask(port, (vectorize_request(field, item, port) for item in items))
    return [parse_vectorize(answer, field) for answer in answers]


def clip_vectors(directory: Path) -> OriginalTowers:
    """What the original in a directory makes of texts and of held-out images."""
    # PERF: imported here because torch takes seconds to load, and a wrong option should be reported at once.
    from build.clip.layout import find_layout
    from build.clip.original import load_original
    from build.model.trust import NO_TRUST

    layout = find_layout(directory)
    assert layout is not None
    original = load_original(directory, layout, NO_TRUST)
    texts = list(itertools.islice(endless_texts(SHORT, "original"), COUNT))
    images: list[HeldoutImage] = heldout_images()[:COUNT]
    text_vectors = original.embed_texts(texts)
    image_vectors = original.embed_images([image.picture for image in images])
    original.release()
    return OriginalTowers(texts, [image.data for image in images], text_vectors, image_vectors)
