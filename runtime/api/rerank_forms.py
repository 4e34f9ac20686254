"""Parses requests for scores in the shapes of Weaviate, TEI, Cohere and Jina, and shapes their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from runtime.api.json_body import name_of, parse_object, show, whole_number
from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import (
    ANYTHING,
    COUNT,
    FLAG,
    NULL,
    NUMBER,
    STRING,
    array_of,
    either,
    integer,
    object_of,
)
from runtime.errors import InvalidRequest
from runtime.rerank.request import RerankRequest

WHAT = "an object with a query and documents"
"""What the body of every shape must be."""


class Form(Protocol):
    """The shape of an answer."""

    @property
    def raw_scores(self) -> bool:
        """Whether logits are asked for."""

    def answer(self, request: RerankRequest, scores: Sequence[float]) -> Any:
        """What JSON says; ``scores``: one for each document, in order."""


@dataclass(frozen=True)
class Question:
    """A parsed request, and the shape of its answer."""

    request: RerankRequest
    form: Form


@dataclass(frozen=True)
class InOrder:
    """Weaviate's shape: a score for each document, in the order sent."""

    raw_scores: bool

    def answer(self, request: RerankRequest, scores: Sequence[float]) -> Any:
        pairs = zip(request.documents, scores, strict=True)
        listed = [{"document": document, "score": score} for document, score in pairs]
        return {"query": request.query, "scores": listed, "property": None, "score": None}


@dataclass(frozen=True)
class OneScore:
    """Weaviate's older shape: one text, which is called ``property``, and its score."""

    raw_scores = False

    def answer(self, request: RerankRequest, scores: Sequence[float]) -> Any:
        return {"query": request.query, "scores": None, "property": request.documents[0], "score": scores[0]}


@dataclass(frozen=True)
class Ranking:
    """TEI's shape: a list, the best first."""

    raw_scores: bool
    return_text: bool

    def answer(self, request: RerankRequest, scores: Sequence[float]) -> Any:
        return [
            {"index": index, "score": scores[index], **({"text": request.documents[index]} if self.return_text else {})}
            for index in by_score(scores)
        ]


@dataclass(frozen=True)
class TopResults:
    """Cohere's and Jina's shape: an object with the best results, the best first."""

    model: str
    top_n: int | None
    return_documents: bool
    raw_scores = False

    def answer(self, request: RerankRequest, scores: Sequence[float]) -> Any:
        results = [
            {
                "index": index,
                "relevance_score": scores[index],
                **({"document": {"text": request.documents[index]}} if self.return_documents else {}),
            }
            for index in by_score(scores)[: self.top_n]
        ]
        return {"model": self.model, "results": results}


def by_score(scores: Sequence[float]) -> list[int]:
    """Indices, the highest score first; equal scores keep their order."""
    return sorted(range(len(scores)), key=lambda index: -scores[index])


def parse_rerank(body: bytes, truncate: bool = True) -> Question:
    """Parse the JSON of ``POST /rerank``: Weaviate's shapes, and TEI's.

    ``truncate``: whether long pairs are truncated where the request does not say. Raises ``InvalidRequest`` that names
    the field, and in a list the index. Unknown keys are ignored.
    """
    fields = parse_object(body, WHAT)
    query = _text(fields, "query")
    if fields.get("texts") is not None:
        if fields.get("documents") is not None:
            raise InvalidRequest("texts and documents are both there; a request must have one of them")
        texts = tuple(_strings(fields["texts"], "texts"))
        form = Ranking(_flag(fields, "raw_scores"), _flag(fields, "return_text"))
        return Question(RerankRequest(query, texts, "texts", _flag(fields, "truncate", truncate)), form)
    if fields.get("documents") is not None:
        documents = tuple(_strings(fields["documents"], "documents"))
        return Question(RerankRequest(query, documents, truncate=truncate), InOrder(_flag(fields, "raw_scores")))
    if fields.get("property") is not None:
        return Question(RerankRequest(query, (_text(fields, "property"),), "property", truncate), OneScore())
    raise InvalidRequest("documents is missing; it must be a list of strings")


def parse_ranking(body: bytes, model: str, truncate: bool = True) -> Question:
    """Parse the JSON of ``POST /v1/rerank`` and ``/v2/rerank``, as the clients of Cohere and Jina send it.

    ``model`` is what the answer names; the request's own is ignored, because a server has one model. Raises as
    ``parse_rerank``.
    """
    fields = parse_object(body, WHAT)
    query = _text(fields, "query")
    if "documents" not in fields:
        raise InvalidRequest("documents is missing; it must be a list of strings or of objects with a text")
    documents = tuple(_documents(fields["documents"]))
    top_n = whole_number(fields.get("top_n"))
    if fields.get("top_n") is not None and (top_n is None or top_n < 1):
        raise InvalidRequest(f"top_n must be a whole number of at least 1, not {show(fields['top_n'])}")
    request = RerankRequest(query, documents, truncate=truncate)
    return Question(request, TopResults(model, top_n, _flag(fields, "return_documents")))


FLAGS = {"raw_scores": FLAG, "return_text": FLAG, "truncate": FLAG}

SCORED = object_of({"document": STRING, "score": NUMBER})

SCORES = Operation(
    "Scores of documents, in the shapes of Weaviate and of text-embeddings-inference",
    either(
        object_of(
            {"query": STRING, "documents": array_of(STRING), "texts": NULL, "raw_scores": FLAG}, ["query", "documents"]
        ),
        object_of({"query": STRING, "property": STRING, "documents": NULL, "texts": NULL}, ["query", "property"]),
        object_of({"query": STRING, "texts": array_of(STRING), "documents": NULL, **FLAGS}, ["query", "texts"]),
    ),
    either(
        object_of({"query": STRING, "scores": array_of(SCORED), "property": NULL, "score": NULL}),
        object_of({"query": STRING, "scores": NULL, "property": STRING, "score": NUMBER}),
        array_of(object_of({"index": COUNT, "score": NUMBER, "text": STRING}, ["index", "score"])),
    ),
)

RANKING = Operation(
    "The best documents, in the shape of Cohere and Jina",
    object_of(
        {
            "query": STRING,
            "documents": array_of(either(STRING, object_of({"text": STRING}))),
            "top_n": integer(1),
            "return_documents": FLAG,
        },
        ["query", "documents"],
    ),
    object_of(
        {
            "model": STRING,
            "results": array_of(
                object_of(
                    {"index": COUNT, "relevance_score": NUMBER, "document": ANYTHING}, ["index", "relevance_score"]
                )
            ),
        }
    ),
)


def _text(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        raise InvalidRequest(f"{name} is missing; it must be a string")
    value = fields[name]
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a string, not {name_of(value)}")
    return value


def _flag(fields: dict[str, Any], name: str, default: bool = False) -> bool:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be true or false, not {show(value)}")
    return value


def _strings(value: Any, name: str) -> list[str]:
    if not isinstance(value, list):
        raise InvalidRequest(f"{name} must be a list of strings, not {name_of(value)}")
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise InvalidRequest(f"{name}[{index}] must be a string, not {name_of(item)}")
    return value


def _documents(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise InvalidRequest(f"documents must be a list of strings or of objects with a text, not {name_of(value)}")
    return [_document(item, f"documents[{index}]") for index, item in enumerate(value)]


def _document(item: Any, name: str) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, dict):
        raise InvalidRequest(f"{name} must be a string or an object with a text, not {name_of(item)}")
    if "text" not in item:
        raise InvalidRequest(f"{name}.text is missing; it must be a string")
    if not isinstance(item["text"], str):
        raise InvalidRequest(f"{name}.text must be a string, not {name_of(item['text'])}")
    text: str = item["text"]
    return text
