"""Weaviate's modules: each asks a route of its own, or in its own words."""

from __future__ import annotations

from enum import StrEnum

from bench.load.routes import Route
from bench.load.scores import Scores
from bench.load.vectors import MODEL2VEC, TRANSFORMERS, Vectors


class Module(StrEnum):
    """Whose requests are sent."""

    TEXT2VEC_TRANSFORMERS = "text2vec-transformers"
    TEXT2VEC_MODEL2VEC = "text2vec-model2vec"
    RERANKER_TRANSFORMERS = "reranker-transformers"

    def route(self, numbers: int) -> Route:
        """``numbers``: how many each answer has, the components of a vector or a score for each document."""
        if self is Module.RERANKER_TRANSFORMERS:
            return Scores(numbers)
        return Vectors(numbers, MODEL2VEC if self is Module.TEXT2VEC_MODEL2VEC else TRANSFORMERS)
