"""Weaviate's modules: each asks a route of its own, or in its own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from bench.load.pictures import TWELVE_MEGAPIXELS, USUAL
from bench.load.routes import Route
from bench.load.scores import Scores
from bench.load.vectorize import VectorizeImages, VectorizeTexts
from bench.load.vectors import MODEL2VEC, TRANSFORMERS, Vectors


class Module(StrEnum):
    """Whose requests are sent."""

    TEXT2VEC_TRANSFORMERS = "text2vec-transformers"
    TEXT2VEC_MODEL2VEC = "text2vec-model2vec"
    RERANKER_TRANSFORMERS = "reranker-transformers"
    MULTI2VEC_CLIP_TEXT = "multi2vec-clip with a text"
    MULTI2VEC_CLIP_IMAGE = "multi2vec-clip with an image"
    MULTI2VEC_CLIP_PHOTO = "multi2vec-clip with a photo"

    def route(self, numbers: int) -> Route:
        """``numbers``: how many each answer has, the components of a vector or a score for each document."""
        return ROUTES[self](numbers)


ROUTES: Mapping[Module, Callable[[int], Route]] = {
    Module.TEXT2VEC_TRANSFORMERS: lambda dim: Vectors(dim, TRANSFORMERS),
    Module.TEXT2VEC_MODEL2VEC: lambda dim: Vectors(dim, MODEL2VEC),
    Module.RERANKER_TRANSFORMERS: Scores,
    Module.MULTI2VEC_CLIP_TEXT: VectorizeTexts,
    Module.MULTI2VEC_CLIP_IMAGE: lambda dim: VectorizeImages(dim, USUAL),
    Module.MULTI2VEC_CLIP_PHOTO: lambda dim: VectorizeImages(dim, TWELVE_MEGAPIXELS),
}
