"""Which prompt a request gets, by the field that its API has for it."""

from __future__ import annotations

from typing import Any

import pytest

from manifest import Task
from runtime.api.embeddings.asked import Served
from runtime.api.embeddings.cohere import parse_v1, parse_v2
from runtime.api.embeddings.endpoint import Parse
from runtime.api.embeddings.ollama import parse_embed
from runtime.api.embeddings.openai import parse_openai
from runtime.api.embeddings.tei import parse_all, parse_inputs, parse_tokenize
from runtime.errors import InvalidRequest

SERVED = Served("org/model", frozenset(), {"query", "document", "classification"}, 4, normalizes=True, max_texts=9)
TEXTS = {"input": ["a"], "inputs": ["a"], "texts": ["a"]}
COHERE = {"texts": ["a"]}


def chosen(parse: Parse, fields: dict[str, Any]) -> tuple[Task | None, str | None]:
    choice = parse((COHERE if parse in (parse_v1, parse_v2) else TEXTS) | fields, SERVED).choice
    return choice.task, choice.prompt_name


@pytest.mark.parametrize(
    ("parse", "name"),
    [
        *((parse_openai, name) for name in ("input_type", "task", "task_type")),
        *((parse, "input_type") for parse in (parse_v1, parse_v2)),
    ],
)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, (None, None)),
        ("", (None, None)),
        ("query", (Task.QUERY, None)),
        ("passage", (Task.PASSAGE, None)),
        ("document", (Task.PASSAGE, None)),
        ("search_query", (Task.QUERY, None)),
        ("search_document", (Task.PASSAGE, None)),
        ("retrieval.query", (Task.QUERY, None)),
        ("retrieval.passage", (Task.PASSAGE, None)),
        ("classification", (None, "classification")),
        ("clustering", (None, None)),
    ],
)
def test_a_purpose_chooses_the_task_or_the_prompt_of_its_name(
    parse: Parse, name: str, value: str | None, expected: tuple[Task | None, str | None]
):
    assert chosen(parse, {name: value}) == expected


def test_the_first_purpose_that_says_something_decides_and_all_are_checked():
    fields = {"input_type": "clustering", "task": "", "task_type": "query"}
    assert chosen(parse_openai, fields) == (Task.QUERY, None)
    assert chosen(parse_openai, fields | {"task": "retrieval.passage"}) == (Task.PASSAGE, None)
    with pytest.raises(InvalidRequest, match="^task_type must be a string, not a number$"):
        chosen(parse_openai, {"input_type": "query", "task_type": 1})


@pytest.mark.parametrize("parse", [parse_openai, parse_inputs, parse_all, parse_tokenize])
def test_a_prompts_name_chooses_it(parse: Parse):
    assert chosen(parse, {"prompt_name": "classification"})[1] == "classification"
    assert chosen(parse, {"prompt_name": ""}) == (None, None)
    with pytest.raises(InvalidRequest, match="^prompt_name must be one of classification, document, query, not "):
        chosen(parse, {"prompt_name": "other"})


def test_a_prompts_name_goes_before_the_prompt_of_a_purpose():
    fields = {"prompt_name": "document", "task": "classification"}
    assert chosen(parse_openai, fields) == (None, "document")


def test_a_shape_without_such_a_field_ignores_it():
    assert chosen(parse_embed, {"task": "query", "input_type": "query", "prompt_name": "query"}) == (None, None)


def test_each_of_two_dimensions_is_checked_and_the_first_decides():
    parsed = parse_openai(TEXTS | {"dimensions": 2, "output_dimension": 3}, SERVED)
    assert parsed.choice.dimensions == 2
    with pytest.raises(InvalidRequest, match="^output_dimension must be a whole number from 1 to 4"):
        parse_openai(TEXTS | {"dimensions": 2, "output_dimension": 5}, SERVED)
