"""Parsing a body: what Weaviate sends, every error with its field and limit, and the edges of JSON and Unicode."""

from __future__ import annotations

import contextlib
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifest import PoolingMode, TextModel
from runtime.api.vectors import parse_body
from runtime.errors import InvalidRequest
from runtime.text.request import EmbedRequest
from tests.support.bundles.text_models import a_text_model, an_encoder, two_routes

MODEL = a_text_model(
    dim=384,
    prompts={"query": "query: ", "document": "passage: ", "other": "other: "},
    tasks={"query": "query", "passage": "document"},
)
PLAIN = dataclasses.replace(MODEL, prompts={}, tasks={})
DEFAULTED = dataclasses.replace(MODEL, default_prompt="other")
CLS = a_text_model(PoolingMode.CLS, dim=384)
MEAN = (PoolingMode.MEAN,)
DIMENSIONS = "config.dimensions must be a whole number from 1 to 384, the model's dim, not "


def parse(value: object, model: TextModel = MODEL, literally: bool = False) -> EmbedRequest:
    return parse_body(json.dumps(value).encode(), model, literally)


def with_config(**config: object) -> dict[str, object]:
    return {"text": "hi", "config": config}


def test_text_alone_gets_the_models_own_way():
    assert parse({"text": "hi"}) == EmbedRequest("hi", "text", "", MEAN, 0, None)


def test_what_weaviates_client_sends_is_understood_and_its_extra_keys_ignored():
    config = b'{"pooling_strategy":"masked_mean","task_type":"passage"}'
    body = b'{"text":"hi","dims":0,"vector":null,"error":"","config":' + config + b"}"
    assert parse_body(body, MODEL, False) == EmbedRequest("hi", "text", "passage: ", MEAN, 0, None)


@pytest.mark.parametrize("config", [None, {}, {"pooling_strategy": None, "task_type": "", "dimensions": None}])
def test_absent_null_and_empty_options_are_the_default(config: object):
    assert parse({"text": "hi", "config": config}) == EmbedRequest("hi", "text", "", MEAN, 0, None)


@pytest.mark.parametrize(("task", "prompt"), [("query", "query: "), ("passage", "passage: ")])
def test_a_task_brings_the_models_prompt(task: str, prompt: str):
    assert parse(with_config(task_type=task)).prompt == prompt


def test_a_model_without_prompts_embeds_tasks_plain():
    assert parse(with_config(task_type="query"), PLAIN).prompt == ""


def test_without_a_task_the_default_prompt_is_used_and_a_task_overrides_it():
    assert parse({"text": "hi"}, DEFAULTED).prompt == "other: "
    assert parse(with_config(task_type="query"), DEFAULTED).prompt == "query: "


@pytest.mark.parametrize("model", [MODEL, CLS])
def test_masked_mean_means_the_models_own_pooling(model: TextModel):
    assert parse(with_config(pooling_strategy="masked_mean"), model).pooling == model.main_encoder.pooling.modes


def test_masked_mean_can_be_taken_literally():
    assert parse(with_config(pooling_strategy="masked_mean"), CLS, literally=True).pooling == MEAN
    assert parse({"text": "hi"}, CLS, literally=True).pooling == (PoolingMode.CLS,)


def test_cls_can_be_asked_for():
    assert parse(with_config(pooling_strategy="cls")).pooling == (PoolingMode.CLS,)


@pytest.mark.parametrize("name", ["query", "document", "other"])
@pytest.mark.parametrize("task", [None, "query", "passage"])
def test_a_prompt_can_be_asked_for_by_name_and_wins_over_the_tasks(name: str, task: str | None):
    assert parse(with_config(prompt_name=name, task_type=task)).prompt == MODEL.prompts[name]


@pytest.mark.parametrize("name", [None, ""])
def test_no_prompt_name_is_the_tasks_prompt_or_the_default(name: str | None):
    assert parse(with_config(prompt_name=name, task_type="query")).prompt == "query: "
    assert parse(with_config(prompt_name=name), DEFAULTED).prompt == "other: "


@pytest.mark.parametrize("name", ["search", 1, [], {}, True, "x" * 99])
def test_an_unknown_prompt_name_is_refused_with_those_that_there_are(name: object):
    with pytest.raises(InvalidRequest, match=r"^config.prompt_name must be one of document, other, query, not ."):
        parse(with_config(prompt_name=name))
    with pytest.raises(
        InvalidRequest, match=r"^config.prompt_name must be absent, not .*: this model declares no prompts$"
    ):
        parse(with_config(prompt_name=name), PLAIN)


def test_a_task_chooses_the_encoder_of_a_model_that_tells_them_apart():
    model = two_routes()
    query, passage = (parse(with_config(task_type=task), model) for task in ("query", "passage"))
    assert (query.encoder, query.pooling) == ("query", (PoolingMode.CLS,))
    assert (passage.encoder, passage.pooling) == ("document", MEAN)
    assert parse({"text": "hi"}, dataclasses.replace(model, default_encoder="document")).encoder == "document"


def test_without_a_task_such_a_model_refuses_unless_it_has_a_default():
    message = r"^config.task_type is missing; this model needs it to be query or passage$"
    with pytest.raises(InvalidRequest, match=message):
        parse({"text": "hi"}, two_routes())


def test_the_tokens_of_the_prompt_that_is_used_are_skipped_tokens_where_the_model_says_so():
    encoder = an_encoder(prompt_tokens={"query": 3, "document": 5, "other": 2})
    model = dataclasses.replace(DEFAULTED, encoders={"text": encoder})
    assert [parse(with_config(task_type=task), model).skipped_tokens for task in ("query", "passage", None)] == [
        3,
        5,
        2,
    ]
    assert parse(with_config(task_type="query", prompt_name="document"), model).skipped_tokens == 5
    assert parse(with_config(task_type="query"), dataclasses.replace(model, tasks={})).skipped_tokens == 0


@pytest.mark.parametrize("strategy", ["cls", "masked_mean"])
def test_another_pooling_is_refused_where_the_vectors_of_several_modes_are_joined(strategy: str):
    joined = a_text_model(PoolingMode.MEAN, PoolingMode.MAX)
    with pytest.raises(InvalidRequest, match=f'must be absent, not "{strategy}": .* the vectors of mean and max$'):
        parse(with_config(pooling_strategy=strategy), joined, literally=True)
    assert parse({"text": "hi"}, joined).pooling == (PoolingMode.MEAN, PoolingMode.MAX)


@pytest.mark.parametrize("dimensions", [1, 100, 384, 1.0, 384.0])
def test_dimensions_up_to_dim(dimensions: float):
    """JSON has one kind of number: 2.0 is a whole one."""
    found = parse(with_config(dimensions=dimensions)).dimensions
    assert (found, type(found)) == (dimensions, int)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "text is missing; it must be a string"),
        ({"text": None}, "text must be a string, not null"),
        ({"text": 1}, "text must be a string, not a number"),
        ({"text": True}, "text must be a string, not a boolean"),
        ({"text": ["a"]}, "text must be a string, not a list"),
        ([], "the body must be an object with a text, not a list"),
        ("hi", "the body must be an object with a text, not a string"),
        (None, "the body must be an object with a text, not null"),
        ({"text": "hi", "config": "cls"}, "config must be an object, not a string"),
        ({"text": "hi", "config": []}, "config must be an object, not a list"),
        (with_config(pooling_strategy="max"), 'config.pooling_strategy must be masked_mean or cls, not "max"'),
        (with_config(pooling_strategy=1), "config.pooling_strategy must be masked_mean or cls, not 1"),
        (with_config(pooling_strategy="x" * 99), "config.pooling_strategy must be masked_mean or cls, not a string"),
        (with_config(task_type="document"), 'config.task_type must be query or passage, not "document"'),
        (with_config(task_type={}), "config.task_type must be query or passage, not {}"),
        (with_config(dimensions=0), f"{DIMENSIONS}0"),
        (with_config(dimensions=385), f"{DIMENSIONS}385"),
        (with_config(dimensions=-1), f"{DIMENSIONS}-1"),
        (with_config(dimensions=1.5), f"{DIMENSIONS}1.5"),
        (with_config(dimensions=0.0), f"{DIMENSIONS}0.0"),
        (with_config(dimensions=True), f"{DIMENSIONS}true"),
        (with_config(dimensions="4"), f'{DIMENSIONS}"4"'),
        (with_config(dimensions=10**30), f"{DIMENSIONS}1e+30"),
    ],
)
def test_a_wrong_field_is_named_with_what_it_accepts(value: object, message: str):
    with pytest.raises(InvalidRequest) as caught:
        parse(value)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'text': 'hi'}",
        b'{"text": "hi"} trailing',
        b'{"text": NaN}',
        b'{"text": "\xff"}',
        b'{"text": "\xed\xa0\x80"}',
        rb'{"text": "\ud800"}',
        rb'{"text": "a\udc00b"}',
        b'{"text": "a\nb"}',
        b'\xef\xbb\xbf{"text": "hi"}',
        b"[" * 10_000,
    ],
)
def test_what_is_not_json_in_utf_8_is_refused(body: bytes):
    with pytest.raises(InvalidRequest, match="the body is not valid JSON in UTF-8"):
        parse_body(body, MODEL, False)


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "a\0b", "😀👩‍👩‍👧", "漢字かな交じり", "e\u0301", "\u202eabc", "x" * 1_000_000]
)
def test_every_text_is_valid_and_kept_as_sent(text: str):
    assert parse({"text": text}).text == text


def test_an_escaped_pair_of_surrogates_is_one_character():
    assert parse_body(rb'{"text": "\ud83d\ude00"}', MODEL, False).text == "😀"


@pytest.mark.parametrize("name", ["task_type", "prompt_name", "pooling_strategy", "dimensions"])
@pytest.mark.parametrize("depth", [254, 500])
def test_a_value_that_is_nested_deeply_is_refused_as_any_other(name: str, depth: int):
    body = b'{"text": "hi", "config": {"%s": %s}}' % (name.encode(), b"[" * depth + b"]" * depth)
    with pytest.raises(InvalidRequest, match=rf"^config.{name} must be .*, not a list"):
        parse_body(body, MODEL, False)


@pytest.mark.parametrize(("task", "is_query"), [("query", True), ("passage", False), (None, False)])
def test_a_task_says_whether_somebody_waits_for_a_search(task: str | None, is_query: bool):
    for model in (MODEL, PLAIN):
        assert parse(with_config(task_type=task), model).is_query is is_query
        assert parse(with_config(task_type=task, dimensions=2), model).is_query is is_query


def test_a_query_and_a_passage_of_one_vector_are_equal():
    query, passage = (parse(with_config(task_type=task), PLAIN) for task in ("query", "passage"))
    assert (query, hash(query)) == (passage, hash(passage))


TEMPLATE = rb'{"text": "a \"text\" \\ \u00e9", "config": {"task_type": "query", "dimensions": 3}}'


@given(st.lists(st.tuples(st.integers(0, len(TEMPLATE)), st.integers(0, 4), st.binary(max_size=4)), max_size=5))
def test_a_damaged_body_raises_nothing_but_an_invalid_request(damages: list[tuple[int, int, bytes]]):
    body = TEMPLATE
    for start, length, replacement in damages:
        body = body[:start] + replacement + body[start + length :]
    with contextlib.suppress(InvalidRequest):
        assert isinstance(parse_body(body, MODEL, False), EmbedRequest)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_an_invalid_request(body: bytes):
    with contextlib.suppress(InvalidRequest):
        assert isinstance(parse_body(body, MODEL, False), EmbedRequest)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, json_values, json_values, json_values, json_values)
def test_no_json_raises_anything_but_an_invalid_request(text, pooling, task, name, dimensions):
    config = {"pooling_strategy": pooling, "task_type": task, "prompt_name": name, "dimensions": dimensions}
    try:
        request = parse({"text": text, "config": config})
    except InvalidRequest:
        return
    assert isinstance(request.text, str)
    assert request.dimensions is None or 1 <= request.dimensions <= MODEL.dim
