"""The paths of the APIs for many texts: each with its parser, and with the shape of its errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.api.embeddings.cohere import cohere_error, parse_v1, parse_v2
from runtime.api.embeddings.endpoint import Batches, EmbeddingsEndpoint, Parse
from runtime.api.embeddings.ollama import parse_embed, parse_one
from runtime.api.embeddings.openai import openai_error, parse_openai
from runtime.api.embeddings.tei import parse_inputs, tei_error
from runtime.api.error_handlers import ErrorShape, one_sentence


@dataclass(frozen=True)
class Route:
    parse: Parse
    error: ErrorShape = one_sentence


ROUTES: Mapping[str, Route] = {
    "/v1/embeddings": Route(parse_openai, openai_error),
    "/embeddings": Route(parse_openai, openai_error),
    "/api/embed": Route(parse_embed),
    "/api/embeddings": Route(parse_one),
    "/": Route(parse_inputs, tei_error),
    "/embed": Route(parse_inputs, tei_error),
    "/v1/embed": Route(parse_v1, cohere_error),
    "/v2/embed": Route(parse_v2, cohere_error),
}

ERROR_SHAPES: Mapping[str, Callable[[str, int], dict[str, Any]]] = {path: each.error for path, each in ROUTES.items()}


def embedding_endpoints(batches: Batches) -> dict[str, EmbeddingsEndpoint]:
    """An endpoint for each path."""
    return {path: EmbeddingsEndpoint(route.parse, batches) for path, route in ROUTES.items()}
