"""The files of sentence-transformers together: modules, routes and prompts, and what is refused by name."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from build.errors import BuildError, ModelNotFound, UnsupportedModel
from build.model.sentence_files import Prompts, SentenceFiles, has_sentence_files, read_sentence_files
from build.model.sentence_modules import ModuleChain
from manifest import Pooling, PoolingMode
from tests.support.json_files import change, write
from tests.support.models.sentence_directories import NORMALIZE, chain_of, module

FILES = ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config_sentence_transformers.json")


PROMPTS = "config_sentence_transformers.json"


def test_both_forms_are_understood(directory: Path):
    assert chain_of(directory) == ModuleChain("", 48, Pooling((PoolingMode.MEAN,), include_prompt=True), (NORMALIZE,))
    assert read_sentence_files(directory).prompts == Prompts({"query": "q: ", "passage": "p: "}, None, None)


def test_a_limit_of_components_is_kept(directory: Path):
    change(directory / PROMPTS, lambda config: config.update(truncate_dim=16))
    assert read_sentence_files(directory).prompts.truncate_dim == 16


def test_a_directory_without_such_files_is_a_bare_transformer(tmp_path: Path):
    assert not has_sentence_files(tmp_path)


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "config_sentence_transformers.json"])
def test_only_some_of_the_files_are_no_bare_transformer(directory: Path, name: str):
    for other in set(FILES) - {name}:
        (directory / other).unlink()
    with pytest.raises(UnsupportedModel, match=f"{name} exists, but modules.json does not"):
        has_sentence_files(directory)


def test_without_the_optional_files_nothing_is_declared(directory: Path):
    (directory / "sentence_bert_config.json").unlink()
    (directory / "config_sentence_transformers.json").unlink()
    assert chain_of(directory).max_seq_length is None
    assert read_sentence_files(directory).prompts == Prompts({}, None, None)


@pytest.mark.parametrize(
    ("prompts", "tasks"),
    [
        ({}, {}),
        ({"query": "q: "}, {"query": "query"}),
        ({"query": "q: ", "passage": "p: "}, {"query": "query", "passage": "passage"}),
        ({"corpus": "c: ", "passage": "p: ", "document": "d: "}, {"passage": "document"}),
        ({"corpus": "c: ", "passage": "p: "}, {"passage": "passage"}),
        ({"corpus": "c: "}, {"passage": "corpus"}),
        ({"query": "", "document": ""}, {}),
        ({"document": "", "passage": "p: "}, {"passage": "passage"}),
        ({"clustering": "cluster: ", "Query": "Q: "}, {}),
    ],
)
def test_each_task_gets_the_first_prompt_that_says_something(prompts: dict, tasks: dict):
    assert Prompts(prompts, None, None).tasks() == tasks


def test_an_empty_default_prompt_is_kept(directory: Path):
    change(directory / PROMPTS, lambda c: c.update(prompts={"query": "q: ", "document": ""}))
    change(directory / PROMPTS, lambda c: c.update(default_prompt_name="document"))
    assert read_sentence_files(directory).prompts == Prompts({"query": "q: ", "document": ""}, "document", None)


def edit_prompts(**values: Any) -> Any:
    return PROMPTS, lambda config: config.update(values)


REFUSED = {
    "more than one Router": ("modules.json", lambda m: m.extend([module("Router"), module("Router")])),
    f"{PROMPTS}: truncate_dim must be a positive whole number, not 0": edit_prompts(truncate_dim=0),
    'truncate_dim must be a positive whole number, not "64"': edit_prompts(truncate_dim="64"),
    "the key loss is unknown": edit_prompts(loss="cosine"),
    "prompts must be an object of strings": edit_prompts(prompts={"query": 1}),
    'default_prompt_name must be the name of a prompt, not "search"': edit_prompts(default_prompt_name="search"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_would_change_vectors_is_refused_by_name(directory: Path, message: str):
    name, edit = REFUSED[message]
    change(directory / name, edit)
    with pytest.raises(UnsupportedModel) as caught:
        read_sentence_files(directory)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("text", ["", "{", "[1,", "nothing", '"text"', "7", "null", "[null]", '{"a": 1}', "\ufeff{}"])
def test_a_malformed_file_is_refused_in_a_sentence(directory: Path, name: str, text: str):
    write(directory / name, text)
    with pytest.raises(BuildError, match=name) as caught:
        read_sentence_files(directory)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe{}", b"[" * 100_000])
def test_a_file_that_is_not_text_or_nested_without_end_is_refused(directory: Path, content: bytes):
    (directory / PROMPTS).write_bytes(content)
    with pytest.raises(ModelNotFound, match=f"{PROMPTS} is not JSON"):
        read_sentence_files(directory)


def test_a_directory_in_place_of_a_file_is_refused(directory: Path):
    (directory / PROMPTS).unlink()
    (directory / PROMPTS).mkdir()
    with pytest.raises(ModelNotFound, match=f"{PROMPTS} cannot be read"):
        read_sentence_files(directory)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


KEYS = {
    "modules.json": ("type", "path"),
    "1_Pooling/config.json": ("pooling_mode", "pooling_mode_cls_token", "include_prompt"),
    "sentence_bert_config.json": ("max_seq_length", "do_lower_case", "modality_config", "unpad_inputs"),
    "config_sentence_transformers.json": ("prompts", "default_prompt_name", "truncate_dim", "__version__"),
    "2_Router/router_config.json": ("types", "structure", "parameters"),
    "2_Router/query_0_Dense/config.json": ("in_features", "bias", "activation_function", "module_input_name"),
}


UNTIMED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=300, deadline=None, suppress_health_check=UNTIMED)
@given(st.sampled_from([(name, key) for name in KEYS for key in KEYS[name]]), json_values, st.booleans())
def test_no_value_of_any_key_ends_in_a_stack_trace(routed: Path, where: tuple, value: Any, whole: bool):
    name, key = where
    before = (routed / name).read_text()
    content = json.loads(before)
    target = content[1] if name == "modules.json" else content
    target[key] = value
    write(routed / name, json.dumps(value if whole else content))
    with contextlib.suppress(BuildError):
        assert isinstance(read_sentence_files(routed), SentenceFiles)
    write(routed / name, before)
