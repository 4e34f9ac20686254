"""The paths of the APIs for many texts: each with its parser, and with the shape of its errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runtime.api.embeddings.asked import Served
from runtime.api.embeddings.cohere import cohere_error, describe_v1, describe_v2, parse_v1, parse_v2
from runtime.api.embeddings.endpoint import Batches, EmbeddingsEndpoint, Parse
from runtime.api.embeddings.ollama import describe_embed, describe_one, parse_embed, parse_one
from runtime.api.embeddings.openai import describe_openai, openai_error, parse_openai
from runtime.api.embeddings.tei import describe_inputs, parse_inputs, tei_error
from runtime.api.error_handlers import ErrorShape, one_sentence
from runtime.api.openapi.operation import Operation


@dataclass(frozen=True)
class Route:
    parse: Parse
    describe: Callable[[Served], Operation]
    error: ErrorShape = one_sentence


ROUTES: Mapping[str, Route] = {
    "/v1/embeddings": Route(parse_openai, describe_openai, openai_error),
    "/embeddings": Route(parse_openai, describe_openai, openai_error),
    "/api/embed": Route(parse_embed, describe_embed),
    "/api/embeddings": Route(parse_one, describe_one),
    "/": Route(parse_inputs, describe_inputs, tei_error),
    "/embed": Route(parse_inputs, describe_inputs, tei_error),
    "/v1/embed": Route(parse_v1, describe_v1, cohere_error),
    "/v2/embed": Route(parse_v2, describe_v2, cohere_error),
}

EMBED_ALL_PATH, TOKENIZE_PATH = "/embed_all", "/tokenize"

ERROR_SHAPES: Mapping[str, ErrorShape] = {
    **{path: each.error for path, each in ROUTES.items()},
    **dict.fromkeys((EMBED_ALL_PATH, TOKENIZE_PATH), tei_error),
}


def embedding_endpoints(batches: Batches) -> dict[str, EmbeddingsEndpoint]:
    """An endpoint for each path."""
    return {
        path: EmbeddingsEndpoint(route.parse, route.describe(batches.served), batches) for path, route in ROUTES.items()
    }
