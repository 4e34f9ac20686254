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
from sentence_transformers.util import fullname, import_from_string

from build.errors import BuildError, ModelNotFound, UnsupportedModel
from build.model.files import ROUTER_CONFIG
from build.model.sentence_files import Prompts, SentenceFiles, has_sentence_files, read_sentence_files
from build.model.sentence_modules import (
    ACTIVATIONS,
    LEGACY_POOLING,
    PLAIN_TEXT,
    TRANSFORMER_DEFAULTS,
    LayerSpec,
    ModuleChain,
    TensorNames,
)
from manifest import ONLY_ENCODER, Activation, LayerKind, Pooling, PoolingMode, Task
from tests.support.models.tiny_models import TinyModel, change, write, write_sentence_files

PLAIN = TinyModel("plain", "bert", "bert", "BertModel", prompts={"query": "q: ", "passage": "p: "}, normalize=True)
FILES = ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config_sentence_transformers.json")
PROMPTS = "config_sentence_transformers.json"


@pytest.fixture(params=["release 2", "release 5"])
def directory(request, tmp_path: Path) -> Path:
    write_sentence_files(tmp_path, TinyModel(**{**vars(PLAIN), "newer_form": request.param == "release 5"}))
    return tmp_path


def chain_of(directory: Path) -> ModuleChain:
    files = read_sentence_files(directory)
    assert (list(files.chains), files.routes, files.default) == ([ONLY_ENCODER], {}, ONLY_ENCODER)
    return files.chains[ONLY_ENCODER]


def modes_of(directory: Path) -> tuple[PoolingMode, ...]:
    return chain_of(directory).pooling.modes


NORMALIZE = LayerSpec(LayerKind.NORMALIZE)


def test_both_forms_are_understood(directory: Path):
    assert chain_of(directory) == ModuleChain("", 48, Pooling((PoolingMode.MEAN,), include_prompt=True), (NORMALIZE,))
    assert read_sentence_files(directory).prompts == Prompts({"query": "q: ", "passage": "p: "}, None, None)


@pytest.mark.parametrize("mode", PoolingMode)
@pytest.mark.parametrize("newer_form", [False, True])
def test_every_pooling_mode_is_understood_in_both_forms(directory: Path, mode: PoolingMode, newer_form: bool):
    flag = next(flag for flag, name in LEGACY_POOLING.items() if name == mode)
    config = {"embedding_dimension": 32, "pooling_mode": mode} if newer_form else {flag: True}
    write(directory / "1_Pooling/config.json", config)
    assert modes_of(directory) == (mode,)


def test_several_modes_keep_their_order(directory: Path):
    write(directory / "1_Pooling/config.json", {"pooling_mode": ["weightedmean", "cls", "max"]})
    assert modes_of(directory) == (PoolingMode.WEIGHTED_MEAN, PoolingMode.CLS, PoolingMode.MAX)


def test_flags_of_several_modes_are_joined_in_sentence_transformers_order(directory: Path):
    flags = ["pooling_mode_mean_sqrt_len_tokens", "pooling_mode_mean_tokens", "pooling_mode_cls_token"]
    write(directory / "1_Pooling/config.json", dict.fromkeys(flags, True))
    assert modes_of(directory) == (PoolingMode.CLS, PoolingMode.MEAN, PoolingMode.MEAN_SQRT_LEN)


def test_prompts_can_be_left_out_of_pooling(directory: Path):
    change(directory / "1_Pooling/config.json", lambda config: config.update(include_prompt=False))
    assert chain_of(directory).pooling.include_prompt is False


def test_a_limit_of_components_is_kept(directory: Path):
    change(directory / PROMPTS, lambda config: config.update(truncate_dim=16))
    assert read_sentence_files(directory).prompts.truncate_dim == 16


DENSE = {"in_features": 32, "out_features": 8, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}


def add_module(directory: Path, kind: str, config: dict[str, Any] | None = None) -> None:
    change(directory / "modules.json", lambda modules: modules.append(module(kind, f"3_{kind}")))
    if config is not None:
        write(directory / f"3_{kind}/config.json", config)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_dense_is_understood_with_each_activation(directory: Path, name: str, bias: bool):
    add_module(directory, "Dense", {**DENSE, "bias": bias, "activation_function": name})
    tensors = TensorNames("3_Dense", "linear.weight", "linear.bias" if bias else None)
    dense = LayerSpec(LayerKind.DENSE, 32, 8, ACTIVATIONS[name], tensors)
    assert chain_of(directory).layers == (NORMALIZE, dense)


def test_activations_are_spelled_as_pytorch_spells_them():
    for name, activation in ACTIVATIONS.items():
        assert fullname(import_from_string(name)()) == name
        assert name.lower().endswith(activation)


def test_what_a_dense_config_leaves_out_is_sentence_transformers_default(directory: Path):
    add_module(directory, "Dense", {"in_features": 32, "out_features": 8})
    layer = chain_of(directory).layers[1]
    assert layer.activation is Activation.TANH
    assert layer.tensors == TensorNames("3_Dense", "linear.weight", "linear.bias")


def test_the_newer_form_of_dense_names_what_it_reads(directory: Path):
    add_module(directory, "Dense", {**DENSE, "module_input_name": "sentence_embedding", "module_output_name": None})
    assert chain_of(directory).layers[1].kind is LayerKind.DENSE


def test_layer_norm_is_understood(directory: Path):
    add_module(directory, "LayerNorm", {"dimension": 32})
    tensors = TensorNames("3_LayerNorm", "norm.weight", "norm.bias")
    assert chain_of(directory).layers[1] == LayerSpec(LayerKind.LAYER_NORM, 32, 32, None, tensors)


def test_dropout_changes_nothing(directory: Path):
    add_module(directory, "Dropout", {"dropout": 0.2})
    assert chain_of(directory).layers == (NORMALIZE,)


def test_a_transformer_in_a_folder_of_its_own_brings_its_limit_from_there(directory: Path):
    change(directory / "modules.json", lambda modules: modules[0].update(path="0_Transformer"))
    (directory / "0_Transformer").mkdir()
    (directory / "sentence_bert_config.json").rename(directory / "0_Transformer" / "sentence_bert_config.json")
    chain = chain_of(directory)
    assert (chain.transformer, chain.max_seq_length) == ("0_Transformer", 48)


def test_modalities_beside_text_are_no_matter(directory: Path):
    modalities = {"text": PLAIN_TEXT, "message": {"method": "chat", "method_output_name": "x"}}
    change(directory / "sentence_bert_config.json", lambda config: config.update(modality_config=modalities))
    assert chain_of(directory).max_seq_length == 48


def test_the_flags_of_the_older_form_are_those_that_sentence_transformers_knows():
    assert LEGACY_POOLING == _LEGACY_POOLING_MODE_KWARGS


def test_the_plain_values_of_the_newer_form_are_those_that_sentence_transformers_takes_for_plain():
    modality, output = TRANSFORMER_TASK_DEFAULTS["feature-extraction"]
    assert modality == {"text": PLAIN_TEXT}
    assert TRANSFORMER_DEFAULTS["module_output_name"] == output


def test_no_flag_of_the_older_form_means_mean(directory: Path):
    write(directory / "1_Pooling/config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": False})
    assert modes_of(directory) == (PoolingMode.MEAN,)


def test_the_newer_key_wins_over_flags(directory: Path):
    write(
        directory / "1_Pooling/config.json",
        {"embedding_dimension": 32, "pooling_mode": ["cls"], "pooling_mode_mean_tokens": True},
    )
    assert modes_of(directory) == (PoolingMode.CLS,)


def test_a_chain_without_normalize_does_not_normalize(directory: Path):
    change(directory / "modules.json", lambda modules: modules.pop())
    assert chain_of(directory).layers == ()


def test_a_directory_without_such_files_is_a_bare_transformer(tmp_path: Path):
    assert not has_sentence_files(tmp_path)


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "config_sentence_transformers.json"])
def test_only_some_of_the_files_are_no_bare_transformer(directory: Path, name: str):
    for other in set(FILES) - {name}:
        (directory / other).unlink()
    with pytest.raises(UnsupportedModel, match=f"{name} exists, but modules.json does not"):
        has_sentence_files(directory)


def test_the_transformers_file_has_several_names(directory: Path):
    (directory / "sentence_bert_config.json").rename(directory / "sentence_xlm-roberta_config.json")
    assert chain_of(directory).max_seq_length == 48


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
    "modules.json: the module WeightedLayerPooling is not": edit_modules(
        lambda m: m.insert(1, module("WeightedLayerPooling"))
    ),
    "the module LSTM is not supported": edit_modules(lambda m: m.insert(1, module("LSTM"))),
    "the module BoW is not supported": edit_modules(lambda m: m.append(module("BoW"))),
    "more than one Router": edit_modules(lambda m: m.extend([module("Router"), module("Router")])),
    "the path ../other is outside the model": edit_modules(lambda m: m[1].update(path="../other")),
    "the path /etc is outside the model": edit_modules(lambda m: m[1].update(path="/etc")),
    "the module my_code.Head is not one of sentence-transformers' own": edit_modules(
        lambda m: m.append(module("Head", home="my_code"))
    ),
    "the module None": edit_modules(lambda m: m[1].update(type=None)),
    "the chain Transformer is not": edit_modules(lambda m: m.__delitem__(slice(1, None))),
    "the chain  is not": edit_modules(lambda m: m.clear()),
    "the chain Pooling > Transformer > Normalize is not": edit_modules(lambda m: m.insert(0, m.pop(1))),
    "the chain Transformer > Normalize > Pooling is not": edit_modules(lambda m: m.insert(1, m.pop())),
    "the chain Transformer > Pooling > Normalize > Pooling is not": edit_modules(lambda m: m.append(m[1])),
    "1_Pooling/config.json: the pooling mode median is not": edit_pooling(pooling_mode="median"),
    "the pooling mode attention is not": edit_pooling(pooling_mode=["mean", "attention"]),
    "the pooling mode pooling_mode_cls_token is not": edit_pooling(pooling_mode="pooling_mode_cls_token"),
    "the pooling mode None is not": edit_pooling(pooling_mode=None),
    "the pooling mode [] is not": edit_pooling(pooling_mode=[[]]),
    'include_prompt must be true or false, not "false"': edit_pooling(include_prompt="false"),
    "1_Pooling/config.json: the key weights is unknown": edit_pooling(weights=[1]),
    "sentence_bert_config.json: the key tokenizer_args is unknown": edit_transformer(tokenizer_args={"x": 1}),
    "the key model_args is unknown": edit_transformer(model_args={"x": 1}),
    'transformer_task is "fill-mask"': edit_transformer(transformer_task="fill-mask"),
    'module_output_name is "sentence_embedding"': edit_transformer(module_output_name="sentence_embedding"),
    "modality_config is": edit_transformer(modality_config={"image": {"method": "forward"}}),
    'processing_kwargs is {"text"': edit_transformer(processing_kwargs={"text": {"padding": "max_length"}}),
    "unpad_inputs is true": edit_transformer(unpad_inputs=True),
    "max_seq_length must be a positive whole number, not 0": edit_transformer(max_seq_length=0),
    "max_seq_length must be a positive whole number, not -1": edit_transformer(max_seq_length=-1),
    'max_seq_length must be a positive whole number, not "128"': edit_transformer(max_seq_length="128"),
    "max_seq_length must be a positive whole number, not true": edit_transformer(max_seq_length=True),
    "max_seq_length must be a positive whole number, not 1.5": edit_transformer(max_seq_length=1.5),
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


def edit_dense(**values: Any) -> dict[str, Any]:
    return DENSE | values


REFUSED_DENSE = {
    "3_Dense/config.json: in_features must be a positive whole number, not null": edit_dense(in_features=None),
    "out_features must be a positive whole number, not 0": edit_dense(out_features=0),
    'bias must be true or false, not "yes"': edit_dense(bias="yes"),
    'activation_function is "torch.nn.modules.activation.Hardshrink"': edit_dense(
        activation_function="torch.nn.modules.activation.Hardshrink"
    ),
    'activation_function is "os.getcwd"': edit_dense(activation_function="os.getcwd"),
    "activation_function is null": edit_dense(activation_function=None),
    'module_input_name is "token_embeddings"': edit_dense(module_input_name="token_embeddings"),
    'module_output_name is "other"': edit_dense(module_output_name="other"),
    "the key scale is unknown": edit_dense(scale=2),
}


@pytest.mark.parametrize("message", REFUSED_DENSE)
def test_a_dense_config_that_would_change_vectors_is_refused_by_name(directory: Path, message: str):
    add_module(directory, "Dense", REFUSED_DENSE[message])
    with pytest.raises(UnsupportedModel) as caught:
        read_sentence_files(directory)
    assert message in str(caught.value)


def test_a_missing_folder_of_a_layer_is_named(directory: Path):
    add_module(directory, "Dense")
    with pytest.raises(ModelNotFound, match=r"has no 3_Dense/config.json"):
        read_sentence_files(directory)


@pytest.fixture
def routed(directory: Path) -> Path:
    """Transformer, Pooling, then a Router of two Dense modules, then Normalize."""
    change(directory / "modules.json", lambda modules: modules.insert(2, module("Router", "2_Router")))
    kind = "sentence_transformers.base.modules.dense.Dense"
    router = {
        "types": {"query_0_Dense": kind, "document_0_Dense": kind},
        "structure": {"query": ["query_0_Dense"], "document": ["document_0_Dense"]},
        "parameters": {"default_route": "document", "allow_empty_key": True, "route_mappings": {}},
    }
    write(directory / "2_Router" / ROUTER_CONFIG, router)
    for folder, width in (("query_0_Dense", 8), ("document_0_Dense", 8)):
        write(directory / "2_Router" / folder / "config.json", edit_dense(out_features=width))
    return directory


def edit_router(directory: Path, edit: Any) -> None:
    change(directory / "2_Router" / ROUTER_CONFIG, edit)


def test_a_router_gives_a_chain_for_each_task(routed: Path):
    files = read_sentence_files(routed)
    assert (files.routes, files.default) == ({Task.QUERY: "query", Task.PASSAGE: "document"}, "document")
    for route, chain in files.chains.items():
        assert [layer.kind for layer in chain.layers] == [LayerKind.DENSE, LayerKind.NORMALIZE]
        assert chain.layers[0].tensors == TensorNames(f"2_Router/{route}_0_Dense", "linear.weight", "linear.bias")


@pytest.mark.parametrize(
    ("parameters", "default"),
    [
        ({}, "query"),
        ({"default_route": "query"}, "query"),
        ({"default_route": None, "allow_empty_key": True}, "query"),
        ({"default_route": None, "allow_empty_key": False}, None),
        ({"default_route": "query", "route_mappings": {"(None, None)": "document"}}, "document"),
    ],
)
def test_what_has_no_task_takes_the_routers_default(routed: Path, parameters: dict, default: str | None):
    edit_router(routed, lambda router: router.update(parameters=parameters))
    assert read_sentence_files(routed).default == default


@pytest.mark.parametrize("key", ["('query', 'text')", "('query', None)"])
def test_a_mapping_wins_over_a_routes_name(routed: Path, key: str):
    edit_router(routed, lambda router: router["parameters"].update(route_mappings={key: "document"}))
    files = read_sentence_files(routed)
    assert (list(files.chains), files.routes[Task.QUERY]) == (["document"], "document")


def test_a_route_that_no_text_takes_is_not_built(routed: Path):
    def add(router: dict) -> None:
        router["types"]["image_0_CLIP"] = "sentence_transformers.models.CLIPModel"
        router["structure"]["image"] = ["image_0_CLIP"]

    edit_router(routed, add)
    assert list(read_sentence_files(routed).chains) == ["query", "document"]


REFUSED_ROUTERS = {
    "2_Router/router_config.json: the Router has no route for a query": lambda r: r["structure"].pop("query"),
    "the Router has no route for a passage": lambda r: r["structure"].pop("document"),
    "types must be an object with entries": lambda r: r.pop("types"),
    "structure must be an object with entries": lambda r: r.update(structure=[]),
    "2_Router/router_config.json: parameters must be an object": lambda r: r.pop("parameters"),
    "the key extra is unknown": lambda r: r.update(extra=1),
    "the key weights is unknown": lambda r: r["parameters"].update(weights=1),
    "the route query must be a list of modules that types declares": lambda r: r["structure"].update(query=["gone"]),
    "the module my_code.Head is not one": lambda r: r["types"].update(query_0_Dense="my_code.Head"),
    'default_route must be the name of a route, not "gone"': lambda r: r["parameters"].update(default_route="gone"),
    "route_mappings must map (task, modality) to the name of a route": lambda r: r["parameters"].update(
        route_mappings={"query": "query"}
    ),
    'route_mappings names an unknown route: "gone"': lambda r: r["parameters"].update(
        route_mappings={"('query', None)": "gone"}
    ),
    "2_Router/../x is outside": lambda r: (
        r["types"].update({"../x": "sentence_transformers.models.Dense"}),
        r["structure"].update(query=["../x"]),
    ),
}


@pytest.mark.parametrize("message", REFUSED_ROUTERS)
def test_a_router_that_is_not_understood_is_refused_by_name(routed: Path, message: str):
    edit_router(routed, REFUSED_ROUTERS[message])
    with pytest.raises(UnsupportedModel) as caught:
        read_sentence_files(routed)
    assert message in str(caught.value)


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
    "2_Router/router_config.json": ("types", "structure", "parameters"),
    "2_Router/query_0_Dense/config.json": ("in_features", "bias", "activation_function", "module_input_name"),
}


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
