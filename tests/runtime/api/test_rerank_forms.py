"""Requests for scores: the shapes of Weaviate, TEI, Cohere and Jina, and what is wrong with others."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from runtime.api.rerank_forms import Question, parse_ranking, parse_rerank
from runtime.errors import InvalidRequest
from runtime.rerank.request import RerankRequest

WEAVIATE = {"query": "a query", "documents": ["one", "", "one"], "property": ""}


def rerank(**fields: Any) -> Question:
    return parse_rerank(json.dumps(fields).encode())


def ranking(**fields: Any) -> Question:
    return parse_ranking(json.dumps(fields).encode(), "the model")


def test_weaviate_gets_a_score_for_each_document_in_order():
    question = rerank(**WEAVIATE)
    assert question.request == RerankRequest("a query", ("one", "", "one"))
    assert not question.form.raw_scores
    assert question.form.answer(question.request, [0.25, 0.5, 0.25]) == {
        "query": "a query",
        "scores": [
            {"document": "one", "score": 0.25},
            {"document": "", "score": 0.5},
            {"document": "one", "score": 0.25},
        ],
        "property": None,
        "score": None,
    }


def test_no_documents_have_no_scores():
    question = rerank(query="", documents=[])
    assert question.form.answer(question.request, [])["scores"] == []


def test_the_older_form_has_one_text_and_one_score():
    question = rerank(query="q", property="a text")
    assert question.request.documents == ("a text",)
    expected = {"query": "q", "scores": None, "property": "a text", "score": 0.5}
    assert question.form.answer(question.request, [0.5]) == expected


def test_tei_gets_a_ranking():
    question = rerank(query="q", texts=["a", "b", "c"], raw_scores=True, return_text=True)
    assert question.form.raw_scores
    assert question.request.truncate
    assert question.form.answer(question.request, [1.0, 3.0, 2.0]) == [
        {"index": 1, "score": 3.0, "text": "b"},
        {"index": 2, "score": 2.0, "text": "c"},
        {"index": 0, "score": 1.0, "text": "a"},
    ]


def test_tei_gets_no_texts_unless_asked():
    question = rerank(query="q", texts=["a"], truncate=False)
    assert not question.request.truncate
    assert question.form.answer(question.request, [0.5]) == [{"index": 0, "score": 0.5}]


def test_cohere_and_jina_get_the_best_results():
    question = ranking(model="any", query="q", documents=["a", {"text": "b"}, "c"], top_n=2, return_documents=True)
    assert question.request.documents == ("a", "b", "c")
    assert question.form.answer(question.request, [1.0, 3.0, 2.0]) == {
        "model": "the model",
        "results": [
            {"index": 1, "relevance_score": 3.0, "document": {"text": "b"}},
            {"index": 2, "relevance_score": 2.0, "document": {"text": "c"}},
        ],
    }


def test_equal_scores_keep_their_order():
    question = ranking(query="q", documents=["a", "b", "c"])
    results = question.form.answer(question.request, [0.5, 0.75, 0.5])["results"]
    assert [result["index"] for result in results] == [1, 0, 2]


def test_more_results_than_documents_are_all_of_them():
    question = ranking(query="q", documents=["a"], top_n=5)
    assert len(question.form.answer(question.request, [0.5])["results"]) == 1


RERANK_ERRORS = [
    ({"documents": []}, "query is missing; it must be a string"),
    ({"query": 1, "documents": []}, "query must be a string, not a number"),
    ({"query": None, "documents": []}, "query must be a string, not null"),
    ({"query": "q"}, "documents is missing; it must be a list of strings"),
    ({"query": "q", "documents": None}, "documents is missing; it must be a list of strings"),
    ({"query": "q", "documents": "a"}, "documents must be a list of strings, not a string"),
    ({"query": "q", "documents": ["a", None]}, "documents[1] must be a string, not null"),
    ({"query": "q", "documents": [{"text": "a"}]}, "documents[0] must be a string, not an object"),
    ({"query": "q", "texts": ["a", "b", 3]}, "texts[2] must be a string, not a number"),
    ({"query": "q", "texts": {}}, "texts must be a list of strings, not an object"),
    ({"query": "q", "texts": ["a"], "raw_scores": 1}, "raw_scores must be true or false, not 1"),
    ({"query": "q", "texts": ["a"], "return_text": "no"}, 'return_text must be true or false, not "no"'),
    ({"query": "q", "texts": ["a"], "truncate": []}, "truncate must be true or false, not []"),
    ({"query": "q", "property": 5}, "property must be a string, not a number"),
    (
        {"query": "q", "texts": ["a"], "documents": []},
        "texts and documents are both there; a request must have one of them",
    ),
]

RANKING_ERRORS = [
    ({"query": "q"}, "documents is missing; it must be a list of strings or of objects with a text"),
    ({"query": "q", "documents": 1}, "documents must be a list of strings or of objects with a text, not a number"),
    ({"query": "q", "documents": ["a", 1]}, "documents[1] must be a string or an object with a text, not a number"),
    ({"query": "q", "documents": [{}]}, "documents[0].text is missing; it must be a string"),
    ({"query": "q", "documents": ["a", {"text": 1}]}, "documents[1].text must be a string, not a number"),
    ({"query": "q", "documents": [], "top_n": 0}, "top_n must be a whole number of at least 1, not 0"),
    ({"query": "q", "documents": [], "top_n": 1.5}, "top_n must be a whole number of at least 1, not 1.5"),
    ({"query": "q", "documents": [], "top_n": True}, "top_n must be a whole number of at least 1, not true"),
    ({"query": "q", "documents": [], "return_documents": 1}, "return_documents must be true or false, not 1"),
]


@pytest.mark.parametrize(("fields", "message"), RERANK_ERRORS)
def test_what_is_wrong_is_named(fields: dict[str, Any], message: str):
    with pytest.raises(InvalidRequest) as error:
        rerank(**fields)
    assert str(error.value) == message


@pytest.mark.parametrize(("fields", "message"), RANKING_ERRORS)
def test_what_is_wrong_with_a_ranking_is_named(fields: dict[str, Any], message: str):
    with pytest.raises(InvalidRequest) as error:
        ranking(**fields)
    assert str(error.value) == message


@pytest.mark.parametrize("parse", [parse_rerank, partial(parse_ranking, model="m")])
def test_a_body_must_be_an_object(parse):
    with pytest.raises(InvalidRequest, match="the body must be an object with a query and documents, not a list"):
        parse(b"[]")
