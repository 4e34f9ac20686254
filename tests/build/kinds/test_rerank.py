"""Rerankers by their files: what is recognized, which activation counts, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from build.errors import UnsupportedModel
from build.kinds import kind_of
from build.model.cross_encoder import describe_reranker
from manifest import Activation, Kind
from tests.support.json_files import change, write
from tests.support.models import tiny_models
from tests.support.models.tiny_rerankers import IDENTITY, RERANKERS, TANH

MINILM = RERANKERS[0]
OLDER = "sbert_ce_default_activation_function"


def changed(directory: Path, **values: Any) -> Path:
    model = tiny_models.copy(MINILM, directory / "model")
    change(model / "config.json", lambda config: config.update(values))
    return model


def test_a_sequence_classifier_is_a_reranker(tmp_path: Path):
    assert kind_of(changed(tmp_path))[0] is Kind.RERANK


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({OLDER: None}, Activation.SIGMOID),
        ({OLDER: IDENTITY}, Activation.IDENTITY),
        ({OLDER: IDENTITY, "sentence_transformers": {"activation_fn": TANH}}, Activation.TANH),
        ({OLDER: TANH, "sentence_transformers": {"version": "5"}}, Activation.TANH),
        ({OLDER: TANH, "sentence_transformers": {"activation_fn": None}}, Activation.SIGMOID),
    ],
)
def test_the_newer_key_decides_and_a_sigmoid_is_the_default(tmp_path: Path, values: dict, expected: Activation):
    assert describe_reranker(changed(tmp_path, **values)).activation is expected


REFUSED = [
    ({"id2label": {"0": "no", "1": "yes"}}, "the model has 2 labels: a reranker has one, its score"),
    ({"id2label": None}, "the model has 2 labels"),
    ({"auto_map": {"AutoModel": "code.Model"}}, "rerankers with code of their own are refused"),
    (
        {"architectures": ["BartForSequenceClassification"]},
        "the architecture BartForSequenceClassification is not",
    ),
    ({"model_type": "bart"}, "the architecture BertForSequenceClassification is not supported; supported rerankers"),
    ({OLDER: "mine.Activation"}, f'config.json: {OLDER} is "mine.Activation", which is not supported'),
    ({OLDER: "torch.nn.Softsign"}, f'config.json: {OLDER} is "torch.nn.Softsign", which is not supported'),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_what_cannot_be_reproduced_is_refused_by_name(tmp_path: Path, values: dict, message: str):
    with pytest.raises(UnsupportedModel) as error:
        describe_reranker(changed(tmp_path, **values))
    assert message in str(error.value)


def test_a_generative_reranker_is_refused_by_name(tmp_path: Path):
    model = changed(tmp_path, architectures=["Qwen3ForCausalLM"], model_type="qwen3")
    (model / "README.md").write_text("---\npipeline_tag: text-ranking\n---\n")
    assert kind_of(model)[0] is Kind.RERANK
    with pytest.raises(UnsupportedModel, match="Qwen3ForCausalLM is a generative reranker"):
        describe_reranker(model)


NEWER_FILES = {
    "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.Transformer"}],
    "config_sentence_transformers.json": {"model_type": "CrossEncoder", "activation_fn": TANH, "prompts": {}},
    "sentence_bert_config.json": {
        "transformer_task": "sequence-classification",
        "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
        "module_output_name": "scores",
        "max_seq_length": 32,
    },
}


def newer(directory: Path, name: str = "modules.json", value: Any = None) -> Path:
    model = changed(directory)
    for file, content in {**NEWER_FILES, **({name: value} if value is not None else {})}.items():
        write(model / file, content)
    return model


def test_the_newest_files_decide(tmp_path: Path):
    described = describe_reranker(newer(tmp_path))
    assert described.activation is Activation.TANH
    assert described.encoder.max_tokens == 32


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("modules.json", [], "modules.json: a reranker must be one Transformer at the top, not nothing"),
        ("config_sentence_transformers.json", {"default_prompt_name": "q"}, "default_prompt_name must be null"),
        ("config_sentence_transformers.json", {"surprise": 1}, "the key surprise is unknown"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, 'transformer_task is "fill-mask"'),
        ("sentence_bert_config.json", {"max_seq_length": 0}, "max_seq_length must be a positive whole number, not 0"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, name: str, value: Any, message: str):
    with pytest.raises(UnsupportedModel) as error:
        describe_reranker(newer(tmp_path, name, value))
    assert message in str(error.value)
