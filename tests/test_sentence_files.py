"""sentence-transformers' files: what is understood, and a name for everything that is refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sentence_transformers.base.modules.transformer import TRANSFORMER_TASK_DEFAULTS
from sentence_transformers.sentence_transformer.modules.pooling import _LEGACY_POOLING_MODE_KWARGS

from build.errors import BuildError, ModelNotFound, UnsupportedModel
from build.sentence_files import LEGACY_POOLING, TRANSFORMER_DEFAULTS, SentenceFiles, read_sentence_files
from manifest import Pooling
from tests.tiny_models import TinyModel, change, pooling_config, write, write_sentence_files

PLAIN = TinyModel("plain", "bert", "bert", "BertModel", prompts={"query": "q: ", "passage": "p: "}, normalize=True)
FILES = ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config_sentence_transformers.json")
PROMPTS = "config_sentence_transformers.json"


@pytest.fixture(params=["release 2", "release 5"])
def directory(request, tmp_path: Path) -> Path:
    write_sentence_files(tmp_path, TinyModel(**{**vars(PLAIN), "newer_form": request.param == "release 5"}))
    return tmp_path


def with_prompts(prompts: dict[str, str]) -> SentenceFiles:
    return SentenceFiles(Pooling.MEAN, normalize=False, max_seq_length=None, prompts=prompts, default_prompt=None)


def test_both_forms_are_understood(directory: Path):
    assert read_sentence_files(directory) == SentenceFiles(
        Pooling.MEAN, normalize=True, max_seq_length=48, prompts={"query": "q: ", "passage": "p: "}, default_prompt=None
    )


@pytest.mark.parametrize("mode", ["mean", "cls"])
@pytest.mark.parametrize("newer_form", [False, True])
def test_mean_and_cls_pooling_are_understood_in_both_forms(directory: Path, mode: str, newer_form: bool):
    write(directory / "1_Pooling/config.json", pooling_config(mode, newer_form))
    assert read_sentence_files(directory).pooling == mode


def test_the_flags_of_the_older_form_are_those_that_sentence_transformers_knows():
    assert LEGACY_POOLING == _LEGACY_POOLING_MODE_KWARGS


def test_the_plain_values_of_the_newer_form_are_those_that_sentence_transformers_takes_for_plain():
    modality, output = TRANSFORMER_TASK_DEFAULTS["feature-extraction"]
    assert TRANSFORMER_DEFAULTS["modality_config"] == modality
    assert TRANSFORMER_DEFAULTS["module_output_name"] == output


def test_no_flag_of_the_older_form_means_mean(directory: Path):
    write(directory / "1_Pooling/config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": False})
    assert read_sentence_files(directory).pooling is Pooling.MEAN


def test_the_newer_key_wins_over_flags(directory: Path):
    write(
        directory / "1_Pooling/config.json",
        {"embedding_dimension": 32, "pooling_mode": ["cls"], "pooling_mode_mean_tokens": True},
    )
    assert read_sentence_files(directory).pooling is Pooling.CLS


def test_a_chain_without_normalize_does_not_normalize(directory: Path):
    change(directory / "modules.json", lambda modules: modules.pop())
    assert read_sentence_files(directory).normalize is False


def test_a_directory_without_such_files_is_a_bare_transformer(tmp_path: Path):
    assert read_sentence_files(tmp_path) == with_prompts({})


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "config_sentence_transformers.json"])
def test_only_some_of_the_files_are_no_bare_transformer(directory: Path, name: str):
    for other in set(FILES) - {name}:
        (directory / other).unlink()
    with pytest.raises(UnsupportedModel, match=f"{name} is there and modules.json is not"):
        read_sentence_files(directory)


def test_the_transformers_file_has_several_names(directory: Path):
    (directory / "sentence_bert_config.json").rename(directory / "sentence_xlm-roberta_config.json")
    assert read_sentence_files(directory).max_seq_length == 48


def test_without_the_optional_files_nothing_is_declared(directory: Path):
    (directory / "sentence_bert_config.json").unlink()
    (directory / "config_sentence_transformers.json").unlink()
    files = read_sentence_files(directory)
    assert (files.max_seq_length, files.prompts, files.default_prompt) == (None, {}, None)


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
    assert with_prompts(prompts).tasks() == tasks


def test_an_empty_default_prompt_is_kept(directory: Path):
    change(directory / PROMPTS, lambda c: c.update(prompts={"query": "q: ", "document": ""}))
    change(directory / PROMPTS, lambda c: c.update(default_prompt_name="document"))
    files = read_sentence_files(directory)
    assert (files.default_prompt, files.prompts) == ("document", {"query": "q: ", "document": ""})


def module(kind: str, path: str = "3_More", home: str = "sentence_transformers.models") -> dict[str, Any]:
    return {"idx": 3, "name": "3", "path": path, "type": f"{home}.{kind}"}


def edit_pooling(**values: Any) -> Any:
    return "1_Pooling/config.json", lambda config: config.update(values)


def edit_transformer(**values: Any) -> Any:
    return "sentence_bert_config.json", lambda config: config.update(values)


def edit_prompts(**values: Any) -> Any:
    return PROMPTS, lambda config: config.update(values)


def edit_modules(edit: Any) -> Any:
    return "modules.json", edit


REFUSED = {
    "modules.json: the module Dense is not supported": edit_modules(lambda m: m.append(module("Dense"))),
    "the module LSTM is not supported": edit_modules(lambda m: m.insert(1, module("LSTM"))),
    "the module Router is not supported": edit_modules(lambda m: m.insert(0, module("Router"))),
    "the module my_code.Head is not one of sentence-transformers' own": edit_modules(
        lambda m: m.append(module("Head", home="my_code"))
    ),
    "the module None": edit_modules(lambda m: m[1].update(type=None)),
    "the chain Transformer is not": edit_modules(lambda m: m.__delitem__(slice(1, None))),
    "the chain  is not": edit_modules(lambda m: m.clear()),
    "the chain Pooling > Transformer > Normalize is not": edit_modules(lambda m: m.insert(0, m.pop(1))),
    "the chain Transformer > Pooling > Normalize > Normalize is not": edit_modules(lambda m: m.append(m[2])),
    "the Transformer lies in 0_Transformer": edit_modules(lambda m: m[0].update(path="0_Transformer")),
    "1_Pooling/config.json: the pooling mode max is not": edit_pooling(pooling_mode="max"),
    "the pooling mode lasttoken is not": edit_pooling(pooling_mode="lasttoken"),
    "the pooling mode weightedmean is not": edit_pooling(pooling_mode=["weightedmean"]),
    "the pooling mode mean_sqrt_len_tokens is not": edit_pooling(pooling_mode="mean_sqrt_len_tokens"),
    "the pooling mode pooling_mode_cls_token is not": edit_pooling(pooling_mode="pooling_mode_cls_token"),
    "the pooling mode None is not": edit_pooling(pooling_mode=None),
    'a combination of pooling modes is not supported: ["mean", "cls"]': edit_pooling(pooling_mode=["mean", "cls"]),
    "a combination of pooling modes is not supported: []": edit_pooling(pooling_mode=[]),
    "include_prompt is false": edit_pooling(include_prompt=False),
    "1_Pooling/config.json: the key weights is unknown": edit_pooling(weights=[1]),
    "sentence_bert_config.json: the key tokenizer_args is unknown": edit_transformer(tokenizer_args={"x": 1}),
    "the key model_args is unknown": edit_transformer(model_args={"x": 1}),
    'transformer_task is "fill-mask"': edit_transformer(transformer_task="fill-mask"),
    'module_output_name is "sentence_embedding"': edit_transformer(module_output_name="sentence_embedding"),
    "modality_config is": edit_transformer(modality_config={"image": {"method": "forward"}}),
    'processing_kwargs is {"text"': edit_transformer(processing_kwargs={"text": {"padding": "max_length"}}),
    "unpad_inputs is true": edit_transformer(unpad_inputs=True),
    "max_seq_length is 0": edit_transformer(max_seq_length=0),
    "max_seq_length is -1": edit_transformer(max_seq_length=-1),
    'max_seq_length is "128"': edit_transformer(max_seq_length="128"),
    "max_seq_length is true": edit_transformer(max_seq_length=True),
    "max_seq_length is 1.5": edit_transformer(max_seq_length=1.5),
    f"{PROMPTS}: truncate_dim is 256": edit_prompts(truncate_dim=256),
    "the key loss is unknown": edit_prompts(loss="cosine"),
    "prompts is not an object of strings": edit_prompts(prompts={"query": 1}),
    "default_prompt_name is search, and no prompt has that name": edit_prompts(default_prompt_name="search"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_would_change_vectors_is_refused_by_name(directory: Path, message: str):
    name, edit = REFUSED[message]
    change(directory / name, edit)
    with pytest.raises(UnsupportedModel) as caught:
        read_sentence_files(directory)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flag", sorted(set(LEGACY_POOLING) - {"pooling_mode_mean_tokens"}))
def test_flags_that_combine_modes_are_refused(directory: Path, flag: str):
    write(directory / "1_Pooling/config.json", pooling_config("mean", newer_form=False) | {flag: True})
    with pytest.raises(UnsupportedModel, match="a combination of pooling modes"):
        read_sentence_files(directory)


@pytest.mark.parametrize(("flag", "mode"), [item for item in LEGACY_POOLING.items() if item[1] not in tuple(Pooling)])
def test_flags_of_other_modes_are_refused_by_the_modes_name(directory: Path, flag: str, mode: str):
    write(directory / "1_Pooling/config.json", {"word_embedding_dimension": 32, flag: True})
    with pytest.raises(UnsupportedModel, match=f"the pooling mode {mode} is not supported"):
        read_sentence_files(directory)


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


def test_a_missing_pooling_file_is_named(directory: Path):
    (directory / "1_Pooling/config.json").unlink()
    with pytest.raises(ModelNotFound, match=r"has no 1_Pooling/config.json: the model directory is incomplete"):
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
}


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([(name, key) for name in KEYS for key in KEYS[name]]), json_values, st.booleans())
def test_no_value_of_any_key_ends_in_a_stack_trace(directory: Path, where: tuple, value: Any, whole: bool):
    name, key = where
    before = (directory / name).read_text()
    content = json.loads(before)
    target = content[1] if name == "modules.json" else content
    target[key] = value
    write(directory / name, json.dumps(value if whole else content))
    with contextlib.suppress(BuildError):
        assert isinstance(read_sentence_files(directory), SentenceFiles)
    write(directory / name, before)
