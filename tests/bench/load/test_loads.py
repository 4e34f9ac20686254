"""How much is prepared for a load."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from bench.__main__ import FULL
from bench.load.loads import MAX_WORDS_PER_SECOND, Group, Load, LoadSpec, loads_in
from bench.load.modules import Module
from bench.load.texts import EIGHT_KB, LONG, SHORT
from bench.load.wire import ANSWER_SECONDS
from bench.rerank.loads import BASE_LOADS, DOCUMENTS, SMALL_LOADS
from bench.static.loads import STATIC_LOADS
from bench.text.loads import TEXT_LOADS


def test_the_number_of_prepared_requests_follows_from_the_time():
    load = Load(LONG, 1)
    assert load.max_requests(0.005) == 10
    assert load.max_requests(1e-6) == 1


def test_a_load_may_allow_for_faster_systems():
    load = Load(LONG, 1, max_words_per_second=2 * MAX_WORDS_PER_SECOND)
    assert load.max_requests(0.005) == 21


def test_losses_do_not_use_up_the_requests_at_the_start():
    assert Load(LONG, 640, Group.WEAVIATE).max_requests(0.005) == 640 + 10


def test_a_load_may_end_after_a_number_of_requests():
    assert Load(LONG, 8, requests=5).max_requests(100) == 5
    assert Load(LONG, 8, Group.WEAVIATE, requests=5).max_requests(100) == 8 + 5


def test_overload_lasts_longer_than_callers_wait():
    full = FULL.seconds
    assert all(load.times * full > ANSWER_SECONDS for load in loads_in(TEXT_LOADS, {Group.OVERLOAD}))


def test_weaviates_numbers_in_flight_are_there_with_short_texts_and_with_8_kb():
    loads = loads_in(TEXT_LOADS, {Group.WEAVIATE, Group.OVERLOAD})
    for length in (SHORT, EIGHT_KB):
        assert [load.in_flight for load in loads if load.length == length] == [1, 8, 32, 160, 640, 3200]


def test_a_request_of_many_texts_counts_as_many():
    assert Load(LONG, 1, texts=32).max_requests(0.32) == round(Load(LONG, 1).max_requests(0.32) / 32)


@pytest.mark.parametrize("loads", [TEXT_LOADS, STATIC_LOADS], ids=["text", "static"])
def test_batches_have_1_32_and_512_texts_in_both_formats_beside_one_text_alone(loads: tuple[Load, ...]):
    alone, *batches = loads_in(loads, {Group.BATCHES})
    assert alone.texts == 1
    assert alone.module not in (Module.OPENAI_FLOAT, Module.OPENAI_BASE64)
    assert [(load.module, load.texts) for load in batches] == [
        (module, texts) for module in (Module.OPENAI_FLOAT, Module.OPENAI_BASE64) for texts in (1, 32, 512)
    ]
    assert not any(load.counts_losses for load in (alone, *batches))


@pytest.mark.parametrize("group", [Group.KEPT, Group.WEAVIATE])
def test_static_models_get_short_and_long_texts_with_up_to_160_in_flight(group: Group):
    loads = loads_in(STATIC_LOADS, {group})
    for length in (SHORT, LONG):
        assert [load.in_flight for load in loads if load.length == length] == [1, 8, 32, 160]


@pytest.mark.parametrize("group", [Group.KEPT, Group.WEAVIATE])
def test_rerankers_get_32_documents_of_60_to_120_words_with_1_and_8_in_flight(group: Group):
    for loads, in_flight in ((SMALL_LOADS, [1, 8, 32]), (BASE_LOADS, [1, 8])):
        chosen = loads_in(loads, {group})
        assert [load.in_flight for load in chosen] == in_flight
        assert {(load.length.low, load.length.high, load.module) for load in chosen} == {
            (60, 120, Module.RERANKER_TRANSFORMERS)
        }
    assert DOCUMENTS == 32


@pytest.mark.parametrize(
    "loads", [TEXT_LOADS, STATIC_LOADS, SMALL_LOADS, BASE_LOADS], ids=["text", "static", "small", "base"]
)
def test_every_load_of_a_kind_has_a_name_of_its_own(loads: tuple[Load, ...]):
    assert len({load.name for load in loads}) == len({str(load) for load in loads}) == len(loads)


@pytest.mark.parametrize("load", [*TEXT_LOADS, *STATIC_LOADS, *SMALL_LOADS], ids=lambda load: load.name)
def test_what_the_generator_is_told_passes_through_json(load: Load):
    spec = LoadSpec(port=1, load=load, seconds=0.5, requests=2, numbers=3, seed="a")
    assert LoadSpec.read(json.loads(json.dumps(asdict(spec)))) == spec
