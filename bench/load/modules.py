"""Weaviate's modules, and clients of OpenAI's API: each asks a route of its own, or in its own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from bench.load.embeddings import BASE64, FLOAT, Embeddings
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
    OPENAI_FLOAT = "openai-float"
    OPENAI_BASE64 = "openai-base64"

    @property
    def label(self) -> str:
        """How reports of batches call it."""
        return LABELS.get(self, "/vectors")

    def route(self, numbers: int, texts: int = 1) -> Route:
        """``numbers``: how many each answer has, the components of a vector or a score for each document.

        ``texts``: of a request, where it can have many; each then has a vector.
        """
        return MANY[self](numbers, texts) if self in MANY else ROUTES[self](numbers)


LABELS: Mapping[Module, str] = {Module.OPENAI_FLOAT: "/v1/embeddings", Module.OPENAI_BASE64: "the same in base64"}

MANY: Mapping[Module, Callable[[int, int], Route]] = {
    Module.OPENAI_FLOAT: lambda dim, texts: Embeddings(dim, texts, FLOAT),
    Module.OPENAI_BASE64: lambda dim, texts: Embeddings(dim, texts, BASE64),
}

ROUTES: Mapping[Module, Callable[[int], Route]] = {
    Module.TEXT2VEC_TRANSFORMERS: lambda dim: Vectors(dim, TRANSFORMERS),
    Module.TEXT2VEC_MODEL2VEC: lambda dim: Vectors(dim, MODEL2VEC),
    Module.RERANKER_TRANSFORMERS: Scores,
    Module.MULTI2VEC_CLIP_TEXT: VectorizeTexts,
    Module.MULTI2VEC_CLIP_IMAGE: lambda dim: VectorizeImages(dim, USUAL),
    Module.MULTI2VEC_CLIP_PHOTO: lambda dim: VectorizeImages(dim, TWELVE_MEGAPIXELS),
}
