"""The modules of sentence-transformers: what their configs declare, and a name for everything that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sentence_transformers.base.modules.transformer import TRANSFORMER_TASK_DEFAULTS
from sentence_transformers.sentence_transformer.modules.pooling import _LEGACY_POOLING_MODE_KWARGS
from sentence_transformers.util import fullname, import_from_string

from build.errors import ModelNotFound, UnsupportedModel
from build.model.sentence_files import read_sentence_files
from build.model.sentence_modules import (
    ACTIVATIONS,
    LEGACY_POOLING,
    PLAIN_TEXT,
    TRANSFORMER_DEFAULTS,
    LayerSpec,
    TensorNames,
)
from manifest import Activation, LayerKind, PoolingMode
from tests.support.json_files import change, write
from tests.support.models.sentence_directories import (
    DENSE,
    NORMALIZE,
    add_module,
    chain_of,
    dense_config,
    modes_of,
    module,
)


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


def test_pooling_can_skip_prompts(directory: Path):
    change(directory / "1_Pooling/config.json", lambda config: config.update(include_prompt=False))
    assert chain_of(directory).pooling.include_prompt is False


def test_no_flag_of_the_older_form_means_mean(directory: Path):
    write(directory / "1_Pooling/config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": False})
    assert modes_of(directory) == (PoolingMode.MEAN,)


def test_the_newer_key_wins_over_flags(directory: Path):
    write(
        directory / "1_Pooling/config.json",
        {"embedding_dimension": 32, "pooling_mode": ["cls"], "pooling_mode_mean_tokens": True},
    )
    assert modes_of(directory) == (PoolingMode.CLS,)


def test_the_flags_of_the_older_form_are_those_that_sentence_transformers_knows():
    assert LEGACY_POOLING == _LEGACY_POOLING_MODE_KWARGS


def test_the_plain_values_of_the_newer_form_are_those_that_sentence_transformers_takes_for_plain():
    modality, output = TRANSFORMER_TASK_DEFAULTS["feature-extraction"]
    assert modality == {"text": PLAIN_TEXT}
    assert TRANSFORMER_DEFAULTS["module_output_name"] == output


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


def test_other_modalities_do_not_matter(directory: Path):
    modalities = {"text": PLAIN_TEXT, "message": {"method": "chat", "method_output_name": "x"}}
    change(directory / "sentence_bert_config.json", lambda config: config.update(modality_config=modalities))
    assert chain_of(directory).max_seq_length == 48


def test_a_chain_without_normalize_does_not_normalize(directory: Path):
    change(directory / "modules.json", lambda modules: modules.pop())
    assert chain_of(directory).layers == ()


def test_the_transformers_file_has_several_names(directory: Path):
    (directory / "sentence_bert_config.json").rename(directory / "sentence_xlm-roberta_config.json")
    assert chain_of(directory).max_seq_length == 48


def edit_pooling(**values: Any) -> Any:
    return "1_Pooling/config.json", lambda config: config.update(values)


def edit_transformer(**values: Any) -> Any:
    return "sentence_bert_config.json", lambda config: config.update(values)


def edit_modules(edit: Any) -> Any:
    return "modules.json", edit


REFUSED = {
    "modules.json: the module WeightedLayerPooling is not": edit_modules(
        lambda m: m.insert(1, module("WeightedLayerPooling"))
    ),
    "the module LSTM is not supported": edit_modules(lambda m: m.insert(1, module("LSTM"))),
    "the module BoW is not supported": edit_modules(lambda m: m.append(module("BoW"))),
    "the path ../other is outside the model": edit_modules(lambda m: m[1].update(path="../other")),
    "the path /etc is outside the model": edit_modules(lambda m: m[1].update(path="/etc")),
    "the path a/b/c is more than 2 folders deep": edit_modules(lambda m: m[1].update(path="a/b/c")),
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
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_would_change_vectors_is_refused_by_name(directory: Path, message: str):
    name, edit = REFUSED[message]
    change(directory / name, edit)
    with pytest.raises(UnsupportedModel) as caught:
        read_sentence_files(directory)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


REFUSED_DENSE = {
    "3_Dense/config.json: in_features must be a positive whole number, not null": dense_config(in_features=None),
    "out_features must be a positive whole number, not 0": dense_config(out_features=0),
    'bias must be true or false, not "yes"': dense_config(bias="yes"),
    'activation_function is "torch.nn.modules.activation.Hardshrink"': dense_config(
        activation_function="torch.nn.modules.activation.Hardshrink"
    ),
    'activation_function is "os.getcwd"': dense_config(activation_function="os.getcwd"),
    "activation_function is null": dense_config(activation_function=None),
    'module_input_name is "token_embeddings"': dense_config(module_input_name="token_embeddings"),
    'module_output_name is "other"': dense_config(module_output_name="other"),
    "the key scale is unknown": dense_config(scale=2),
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


def test_a_missing_pooling_file_is_named(directory: Path):
    (directory / "1_Pooling/config.json").unlink()
    with pytest.raises(ModelNotFound, match=r"has no 1_Pooling/config.json: the model directory is incomplete"):
        read_sentence_files(directory)
