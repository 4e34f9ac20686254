"""The tiny models: what data/models.csv says of their originals holds for them, and the reference embeds with each."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from tests.support.models import tiny_models
from tests.support.models.model_table import (
    CODE_ELSEWHERE,
    FAMILY_MODELS,
    LIMITS,
    MODULE_MODELS,
    NOMIC,
    PLAIN,
    REMOTE_CODE_MODELS,
    TABLE,
)
from tests.support.models.tiny_architectures import AUTO_MAP
from tests.support.models.tiny_description import HIDDEN, Dense, TinyModel
from tests.support.models.tiny_tokenizers import CHARACTERS, TOKENIZERS, WORD
from tests.support.paths import DATA

MODELS_FILE = DATA / "models.csv"
ROWS = {
    row["model"]: row
    for row in csv.DictReader(MODELS_FILE.read_text(encoding="utf-8").splitlines())
    if row["kind"] == "text"
}
DISTINCT = [*dict.fromkeys(TABLE.values()), *FAMILY_MODELS, *REMOTE_CODE_MODELS, *MODULE_MODELS]
THROUGH_SENTENCE_TRANSFORMERS = [model for model in DISTINCT if model.family != "dpr"]

POOLING = {"mean": "mean", "cls": "cls", "last token": "lasttoken", "undeclared (mean)": None}
ALGORITHMS = {"wordpiece": "WordPiece", "unigram": "Unigram", "bpe": "BPE"}
TOKENIZER_CLASSES = {"XLM-R": "XLMRoberta", "MPNet": "MPNet", "T5": "T5"}
RETRIEVAL_PROMPTS = {"query", "passage", "document", "corpus"}

TEXTS = [WORD, "stone paper green", "The ferry to the island leaves at seven in the morning.", "図書館 kłaść 今天几点"]

rows = pytest.mark.parametrize("name", ROWS)


def name_of(model: TinyModel) -> str:
    return model.name


def read(model: TinyModel, name: str) -> Any:
    return json.loads((tiny_models.make(model) / name).read_text(encoding="utf-8"))


def load(model: TinyModel) -> SentenceTransformer:
    trust = model.family == "nomic_bert"
    return SentenceTransformer(
        str(tiny_models.make(model)), device="cpu", local_files_only=True, trust_remote_code=trust
    )


def ways(model: TinyModel) -> list[str | None]:
    """The tasks that lead through a model, each by another way."""
    return [None] if model.router is None else ["query", "document"]


def embed(original: SentenceTransformer, task: str | None = None) -> NDArray[np.float64]:
    return np.stack([original.encode([text], task=task)[0] for text in TEXTS]).astype(np.float64)


def assert_sound(vectors: NDArray[np.float64]) -> None:
    """Finite, and different for different texts."""
    assert np.isfinite(vectors).all()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (unit @ unit.T)[np.triu_indices(len(unit), 1)].max() < 0.999


def test_every_text_model_of_the_list_has_an_entry_and_no_other_has():
    assert set(TABLE) == set(ROWS)


def test_names_are_unique():
    models = [*DISTINCT, CODE_ELSEWHERE, PLAIN]
    assert len({model.name for model in models}) == len(models)
    assert set(LIMITS) <= {model.name for model in models}


@rows
def test_the_architecture_is_the_rows(name: str):
    assert read(TABLE[name], "config.json")["architectures"] == [ROWS[name]["architecture"]]


@rows
def test_the_tokenizer_is_of_the_rows_kind(name: str):
    algorithm, family = re.fullmatch(r"(\w+)(?: \((.+)\))?", ROWS[name]["tokenizer"]).groups()
    assert read(TABLE[name], "tokenizer.json")["model"]["type"] == ALGORITHMS[algorithm]
    if family is not None:
        tokenizer = AutoTokenizer.from_pretrained(tiny_models.make(TABLE[name]))
        assert type(tokenizer).__name__ == f"{TOKENIZER_CLASSES[family]}TokenizerFast"


@rows
def test_pooling_and_normalization_are_the_rows(name: str):
    row, model = ROWS[name], TABLE[name]
    # NOTE: the classes of DPR take the first token by themselves, without sentence-transformers' files.
    of_its_own = row["architecture"].startswith("DPR")
    assert model.pooling == (None if of_its_own else POOLING[row["pooling"]])
    assert (tiny_models.make(model) / "modules.json").exists() is (model.pooling is not None)
    assert model.normalize is (row["normalize"] == "yes")


@rows
def test_dense_layers_are_the_rows_scaled_down(name: str):
    words, model = ROWS[name]["dense"], TABLE[name]
    layers = [layer for layer in model.layers if isinstance(layer, Dense)]
    shapes = [(int(into), int(out)) for into, out in re.findall(r"(\d+)x(\d+)", words)]
    assert [layer.out for layer in layers] == [out * HIDDEN // shapes[0][0] for _, out in shapes]
    for layer in layers if "bias" in words else ():
        assert layer.bias is ("no bias" not in words)
        assert layer.activation.lower() in words.split()


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if "projection" in row["dense"]])
def test_a_projection_is_there_in_one_model_of_each_class_and_not_in_another(name: str):
    others = [TABLE[other] for other, row in ROWS.items() if row["architecture"] == ROWS[name]["architecture"]]
    assert sorted(read(model, "config.json")["projection_dim"] > 0 for model in others) == [False, True]


@rows
def test_prompts_are_those_that_the_row_names(name: str):
    words = ROWS[name]["prompts"]
    declared = {prompt for prompt, text in TABLE[name].prompts.items() if text} & RETRIEVAL_PROMPTS
    if words == "query may be declared":
        assert declared <= {"query"}
    else:
        assert declared == set(words.split(" and ") if words else ())


@pytest.mark.parametrize("model", THROUGH_SENTENCE_TRANSFORMERS, ids=name_of)
def test_sentence_transformers_embeds_with_it(model: TinyModel):
    original = load(model)
    limit = LIMITS.get(model.name, 48)
    # NOTE: two positions fewer than sentence-transformers thinks, in the families that count from the padding's id on.
    assert limit in (original.max_seq_length, original.max_seq_length - 2)
    vectors = {task: embed(original, task) for task in ways(model)}
    for values in vectors.values():
        assert values.shape[1] == original.get_embedding_dimension()
        assert_sound(values)
    if len(vectors) == 2:
        assert np.abs(vectors["query"] - vectors["document"]).max() > 0.01
    original.max_seq_length = limit
    assert np.isfinite(original.encode([f"{WORD} " * 1000], task=ways(model)[0])).all()


@pytest.mark.parametrize("model", [model for model in DISTINCT if model.family == "dpr"], ids=name_of)
def test_the_classes_of_dpr_embed_with_it(model: TinyModel):
    import torch
    import transformers

    directory = tiny_models.make(model)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    network = getattr(transformers, model.architecture).from_pretrained(directory).eval()
    with torch.no_grad():
        outputs = [network(**tokenizer(text, return_tensors="pt")).pooler_output[0].numpy() for text in TEXTS]
    assert outputs[0].shape == (read(model, "config.json")["projection_dim"] or HIDDEN,)
    assert_sound(np.stack(outputs).astype(np.float64))


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_each_tokenizer_knows_the_word_and_most_characters(kind: str, tmp_path: Path):
    tokenizer = TOKENIZERS[kind](tmp_path)
    specials = len(tokenizer("")["input_ids"])
    for count in (1, 2, 30):
        assert len(tokenizer(" ".join([WORD] * count))["input_ids"]) == count + specials
    letters = tokenizer(" ".join(CHARACTERS), add_special_tokens=False)["input_ids"]
    assert letters.count(tokenizer.unk_token_id) < 0.1 * len(letters)


@pytest.mark.parametrize("model", [model for model in DISTINCT if model.prompts], ids=name_of)
def test_a_prompt_leaves_room_for_the_text(model: TinyModel):
    tokenizer = load(model).tokenizer
    for prompt in model.prompts.values():
        assert len(tokenizer(prompt)["input_ids"]) <= LIMITS.get(model.name, 48) / 2


def test_all_modules_stand_on_the_same_transformer():
    weights = {
        hashlib.sha256((tiny_models.make(model) / "model.safetensors").read_bytes()).hexdigest()
        for model in [PLAIN, *MODULE_MODELS]
        if (tiny_models.make(model) / "model.safetensors").exists()
    }
    assert len(weights) == 1


@pytest.mark.parametrize(
    "model", [model for model in DISTINCT if model.newer_form and model.family != "nomic_bert"], ids=name_of
)
def test_the_newer_form_is_what_sentence_transformers_writes(model: TinyModel, tmp_path: Path):
    load(model).save(str(tmp_path), create_model_card=False)
    names = [path.relative_to(tmp_path) for path in tmp_path.glob("[0-9]_*/*.json")]
    for name in ("modules.json", *names):
        assert read(model, str(name)) == json.loads((tmp_path / name).read_text(encoding="utf-8"))
    written = json.loads((tmp_path / "sentence_bert_config.json").read_text(encoding="utf-8"))
    assert written.items() <= read(model, "sentence_bert_config.json").items()


def test_the_declared_window_of_gemma_is_on_disk():
    """transformers halves it for attention in both directions whenever it reads it."""
    model = TABLE["google/embeddinggemma-300m"]
    assert read(model, "config.json")["sliding_window"] == 16
    assert load(model)[0].model.config.sliding_window == 16 // 2 + 1


def test_code_that_comes_with_a_model_is_refused_without_trust():
    with pytest.raises(ValueError, match="custom code"):
        SentenceTransformer(str(tiny_models.make(NOMIC)), device="cpu", local_files_only=True)


def test_code_may_lie_in_another_repository():
    auto_map = read(CODE_ELSEWHERE, "config.json")["auto_map"]
    assert auto_map == {name: f"someone/code--{where}" for name, where in AUTO_MAP.items()}
    assert not list(tiny_models.make(CODE_ELSEWHERE).glob("*.py"))
    assert read(NOMIC, "config.json")["auto_map"] == AUTO_MAP
