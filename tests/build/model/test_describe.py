"""What a description reads from a model's files: family, limit and size, and what it refuses by name."""

from __future__ import annotations

import contextlib
import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from build.errors import BuildError, ModelNotFound, UnsupportedModel
from build.model.describe import Description, EncoderSpec, describe
from build.model.families import FAMILIES
from build.model.sentence_modules import LayerSpec, TensorNames
from manifest import ONLY_ENCODER, Activation, LayerKind, Pooling, PoolingMode
from tests.support.models.tiny_models import TinyModel, change, write, write_sentence_files
from tests.support.paths import DATA

MODELS_FILE = DATA / "models.csv"
MODELS = {row["model"]: row for row in csv.DictReader(MODELS_FILE.read_text(encoding="utf-8").splitlines())}
SUPPORTED = {architecture: family for family in FAMILIES for architecture in family.architectures}
UNSUPPORTED = sorted({row["architecture"] for row in MODELS.values()} - set(SUPPORTED))
MODES = {"mean": "mean", "cls": "cls", "last token": "lasttoken"}


def write_model(directory: Path, row: dict[str, str]) -> None:
    """The files of a row of the table, as far as a description reads them."""
    family = SUPPORTED.get(row["architecture"], SUPPORTED["BertModel"])
    shift = 2 if family.model_type in ("roberta", "xlm-roberta", "mpnet") else 0
    limit = int(row["max_tokens"] or 512)
    config: dict[str, Any] = {
        "architectures": [row["architecture"]],
        "model_type": family.model_type,
        family.keys.width: int(row["dim"] or 768),
        family.keys.heads: 4,
        family.keys.feed_forward: 1024,
        "max_position_embeddings": max(512, limit) + shift,
        "pad_token_id": 1 if shift else 0,
    }
    write(directory / "config.json", config)
    write(directory / "tokenizer_config.json", {"model_max_length": 512})
    write(directory / "tokenizer.json", {})
    if row["pooling"] in MODES and not family.pooled_by_network:
        normalize = row["normalize"] == "yes"
        model = TinyModel("", "", "", "", MODES[row["pooling"]], normalize=normalize, max_seq_length=limit)
        write_sentence_files(directory, model)
        write(directory / "1_Pooling/config.json", {"pooling_mode": MODES[row["pooling"]]})


TEXT_MODELS = [name for name, row in MODELS.items() if row["kind"] == "text"]


def test_every_text_model_of_the_table_is_supported():
    assert not {MODELS[name]["architecture"] for name in TEXT_MODELS} & set(UNSUPPORTED)
    assert {"XLMRobertaForSequenceClassification", "CLIPModel", "StaticModel"} <= set(UNSUPPORTED)


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_a_known_models_limit_size_and_pooling_are_read(tmp_path: Path, name: str):
    row = MODELS[name]
    write_model(tmp_path, row)
    description = describe(tmp_path, trust_remote_code=False)
    encoder = description.encoders[ONLY_ENCODER]
    assert description.dim == int(row["dim"] or 768)
    assert encoder.max_tokens == int(row["max_tokens"])
    assert encoder.pooling == Pooling((PoolingMode(MODES.get(row["pooling"], "mean")),), include_prompt=True)
    assert any(layer.kind is LayerKind.NORMALIZE for layer in encoder.layers) == (row["normalize"] == "yes")


@pytest.mark.parametrize("architecture", UNSUPPORTED)
def test_other_architectures_are_refused_by_name(tmp_path: Path, architecture: str):
    write_model(tmp_path, next(row for row in MODELS.values() if row["architecture"] == architecture))
    with pytest.raises(UnsupportedModel, match=f"the architecture {architecture} is not supported; supported encoders"):
        describe(tmp_path, trust_remote_code=False)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_model(tmp_path, MODELS["BAAI/bge-small-en-v1.5"])
    return tmp_path


def described(directory: Path, name: str = "config.json", **values: Any) -> Description:
    change(directory / name, lambda config: config.update(values))
    return describe(directory, trust_remote_code=False)


def only(description: Description) -> EncoderSpec:
    return description.encoders[ONLY_ENCODER]


T5 = {"model_type": "t5", "architectures": ["T5EncoderModel"], "d_model": 64, "num_heads": 4, "d_ff": 128}


def test_relative_positions_have_no_limit_of_their_own(directory: Path):
    change(directory / "sentence_bert_config.json", lambda config: config.update(max_seq_length=3000))
    assert only(described(directory, **T5)).max_tokens == 3000
    change(directory / "sentence_bert_config.json", lambda config: config.pop("max_seq_length"))
    assert only(described(directory, **T5)).max_tokens == 512


def test_where_nothing_states_a_limit_the_model_is_refused(directory: Path):
    change(directory / "sentence_bert_config.json", lambda config: config.pop("max_seq_length"))
    change(directory / "tokenizer_config.json", lambda config: config.update(model_max_length=1e30))
    with pytest.raises(UnsupportedModel, match=r"does not declare how many tokens .*: set model_max_length"):
        described(directory, **T5)


def test_a_causal_model_without_sentence_files_pools_by_its_last_token(tmp_path: Path):
    write_model(tmp_path, MODELS["Qwen/Qwen3-Embedding-0.6B"] | {"pooling": ""})
    assert only(describe(tmp_path, trust_remote_code=False)).pooling.modes == (PoolingMode.LAST_TOKEN,)
    change(tmp_path / "config.json", lambda config: config.update(architectures=["Qwen3Model"]))
    assert only(describe(tmp_path, trust_remote_code=False)).pooling.modes == (PoolingMode.MEAN,)


@pytest.fixture
def dpr(tmp_path: Path) -> Path:
    write_model(tmp_path, MODELS["facebook/dpr-ctx_encoder-single-nq-base"])
    return tmp_path


@pytest.mark.parametrize(
    ("architecture", "name"), [("DPRContextEncoder", "ctx_encoder"), ("DPRQuestionEncoder", "question_encoder")]
)
def test_a_projection_is_a_layer_and_decides_the_vectors_length(dpr: Path, architecture: str, name: str):
    found = described(dpr, architectures=[architecture], projection_dim=24)
    tensors = TensorNames("", f"{name}.encode_proj.weight", f"{name}.encode_proj.bias")
    assert only(found).layers == (LayerSpec(LayerKind.DENSE, 768, 24, Activation.IDENTITY, tensors),)
    assert (found.dim, only(found).pooling.modes) == (24, (PoolingMode.CLS,))
    assert only(described(dpr, projection_dim=0)).layers == ()


def test_sentence_files_with_an_encoder_that_does_its_own_pooling_are_refused(dpr: Path):
    write_sentence_files(dpr, TinyModel("", "", "", "", "cls"))
    with pytest.raises(UnsupportedModel, match="modules.json is not supported with a DPRContextEncoder"):
        describe(dpr, trust_remote_code=False)


DENSE = {"in_features": 384, "out_features": 100, "bias": False}


def add_dense(directory: Path, **values: int) -> None:
    module = {"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"}
    change(directory / "modules.json", lambda modules: modules.append(module))
    write(directory / "3_Dense/config.json", DENSE | values)


def test_a_dense_layer_decides_the_vectors_length(directory: Path):
    add_dense(directory)
    assert describe(directory, trust_remote_code=False).dim == 100


def test_several_pooling_modes_add_up(directory: Path):
    write(directory / "1_Pooling/config.json", {"pooling_mode": ["cls", "mean"]})
    assert describe(directory, trust_remote_code=False).dim == 768
    add_dense(directory)
    with pytest.raises(UnsupportedModel, match="3_Dense: the layer accepts 384 components, but receives 768"):
        describe(directory, trust_remote_code=False)


@pytest.mark.parametrize(("size", "dim", "layers"), [(100, 100, 2), (384, 384, 1), (1000, 384, 1)])
def test_vectors_are_cut_where_the_model_says_so(directory: Path, size: int, dim: int, layers: int):
    change(directory / "config_sentence_transformers.json", lambda config: config.update(truncate_dim=size))
    found = describe(directory, trust_remote_code=False)
    assert (found.dim, len(only(found).layers)) == (dim, layers)


def test_the_working_memory_grows_with_heads_and_width(directory: Path):
    small = only(described(directory)).memory
    assert only(described(directory, num_attention_heads=8)).memory.per_pair == 2 * small.per_pair
    assert only(described(directory, intermediate_size=4096)).memory.per_token > small.per_token


@pytest.mark.parametrize(
    ("positions", "window", "tokenizer", "limit"),
    [
        (512, 256, 512, 256),
        (512, 256, 128, 256),
        (512, 512, 128, 512),
        (512, 1024, 2048, 512),
        (512, None, 128, 128),
        (512, None, None, 512),
        (512, None, 0, 512),
        (512, None, 1000000000000000019884624838656, 512),
        (512, None, 1e30, 512),
        (100, None, 512, 100),
    ],
)
def test_the_window_wins_over_the_tokenizers_limit_and_the_positions_over_both(
    directory: Path, positions: int, window: int | None, tokenizer: float | None, limit: int
):
    change(directory / "sentence_bert_config.json", lambda config: config.update(max_seq_length=window))
    change(directory / "tokenizer_config.json", lambda config: config.update(model_max_length=tokenizer))
    found = only(described(directory, max_position_embeddings=positions)).max_tokens
    assert (found, type(found)) == (limit, int)


def test_without_the_tokenizers_file_the_positions_decide(directory: Path):
    change(directory / "sentence_bert_config.json", lambda config: config.pop("max_seq_length"))
    (directory / "tokenizer_config.json").unlink()
    assert only(describe(directory, trust_remote_code=False)).max_tokens == 512


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt", "vocab.json", "spiece.model"])
def test_a_model_without_a_tokenizer_is_refused_before_it_is_loaded(directory: Path, name: str):
    (directory / "tokenizer.json").unlink()
    message = "has neither tokenizer.json nor a vocabulary (vocab.txt, vocab.json, *.model): it has no tokenizer"
    with pytest.raises(ModelNotFound, match=re.escape(f"{directory} {message}")):
        describe(directory, trust_remote_code=False)
    write(directory / name, {})
    assert only(describe(directory, trust_remote_code=False)).max_tokens == 512


@pytest.mark.parametrize("window", [1, 2])
def test_a_window_without_room_for_text_is_refused(directory: Path, window: int):
    with pytest.raises(UnsupportedModel, match=f"a limit of {window} tokens leaves no room"):
        described(directory, "sentence_bert_config.json", max_seq_length=window)


WRONG = {
    "config.json has no num_attention_heads": ("config.json", lambda c: c.pop("num_attention_heads")),
    "config.json has no hidden_size": ("config.json", lambda c: c.pop("hidden_size")),
    "config.json has no max_position_embeddings": ("config.json", lambda c: c.pop("max_position_embeddings")),
    'config.json: hidden_size must be a whole number, not "384"': (
        "config.json",
        lambda c: c.update(hidden_size="384"),
    ),
    "config.json: hidden_size must be a whole number, not null": ("config.json", lambda c: c.update(hidden_size=None)),
    "config.json: max_position_embeddings must be a whole number, not [512]": (
        "config.json",
        lambda c: c.update(max_position_embeddings=[512]),
    ),
    'tokenizer_config.json: model_max_length must be a number, not "many"': (
        "tokenizer_config.json",
        lambda c: c.update(model_max_length="many"),
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_missing_or_malformed_value_is_named(directory: Path, message: str):
    name, edit = WRONG[message]
    change(directory / name, edit)
    change(directory / "sentence_bert_config.json", lambda config: config.pop("max_seq_length"))
    with pytest.raises(ModelNotFound) as caught:
        describe(directory, trust_remote_code=False)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "modules.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '"text"', "[null]"])
def test_a_malformed_file_is_named(directory: Path, name: str, text: str):
    (directory / "sentence_bert_config.json").unlink()
    write(directory / name, text)
    with pytest.raises(BuildError, match=name):
        describe(directory, trust_remote_code=False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    ("config.json", "architectures"),
    ("config.json", "model_type"),
    ("config.json", "hidden_size"),
    ("config.json", "max_position_embeddings"),
    ("config.json", "auto_map"),
    ("tokenizer_config.json", "model_max_length"),
]


UNTIMED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=300, deadline=None, suppress_health_check=UNTIMED)
@given(st.sampled_from(KEYS), json_values, st.sampled_from(["bert", "mpnet"]))
def test_no_value_of_any_key_ends_in_a_stack_trace(directory: Path, where: tuple, value: Any, model_type: str):
    name, key = where
    (directory / "sentence_bert_config.json").unlink(missing_ok=True)
    before = (directory / name).read_text()
    write(directory / name, json.dumps({**json.loads(before), "model_type": model_type, key: value}))
    with contextlib.suppress(BuildError):
        assert isinstance(describe(directory, trust_remote_code=False), Description)
    write(directory / name, before)


def test_what_a_file_says_can_neither_break_the_line_nor_steer_a_terminal(directory: Path):
    with pytest.raises(UnsupportedModel) as caught:
        described(directory, architectures=["Model\n\x1b[2J\r\u202eX"])
    assert "the architecture Model??[2J??X is not supported" in str(caught.value)
