"""Reads from a reranker's files everything that its scores depend on, without loading the network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.errors import UnsupportedModel
from build.model.card import read_licence, read_task
from build.model.cross_encoder_families import CROSS_ENCODERS, CrossEncoderFamily
from build.model.describe import EncoderSpec, encoder_spec
from build.model.files import CONFIG, MODULES, SENTENCE_CONFIG
from build.model.json_files import read_json, read_object, refuse_unknown
from build.model.sentence_modules import ModuleChain
from manifest import Activation, Pooling

CLASSIFIER = "ForSequenceClassification"
GENERATOR = "ForCausalLM"
"""The ends of names of architectures."""

RANKING_TASK = "text-ranking"
"""The task in the card of a reranker."""

CROSS_ENCODER = "CrossEncoder"
"""The ``model_type`` in sentence-transformers' file."""

TRANSFORMER_CONFIG = "sentence_bert_config.json"

TRANSFORMER_KEYS: dict[str, Any] = {
    "transformer_task": "sequence-classification",
    "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
    "module_output_name": "scores",
    "processing_kwargs": {},
    "do_lower_case": False,
    "unpad_inputs": None,
}
"""What newer files of a reranker say of its network. Any other value means another one."""

ACTIVATIONS = {
    "Identity": Activation.IDENTITY,
    "Tanh": Activation.TANH,
    "ReLU": Activation.RELU,
    "GELU": Activation.GELU,
    "SiLU": Activation.SILU,
    "Sigmoid": Activation.SIGMOID,
}
"""Classes of ``torch.nn``."""

DEFAULT_LABELS = 2
"""transformers' number of labels where config.json says nothing."""


@dataclass(frozen=True)
class RerankDescription:
    """Everything that a reranker's scores depend on."""

    encoder: EncoderSpec
    """Its last layer has one output, the logit."""
    activation: Activation
    """Turns a logit into a score."""
    licence: str | None
    """The license that the model's card declares."""


def is_reranker(directory: Path) -> bool:
    """Whether the files say that the model scores pairs of texts, by its architecture, its card or its modules."""
    if not (directory / CONFIG).is_file():
        return False
    if (directory / SENTENCE_CONFIG).is_file():
        return bool(read_object(directory, SENTENCE_CONFIG).get("model_type") == CROSS_ENCODER)
    if (directory / MODULES).exists():
        return False
    return _architecture(read_object(directory, CONFIG)).endswith(CLASSIFIER) or read_task(directory) == RANKING_TASK


def describe_reranker(directory: Path) -> RerankDescription:
    """Describe the reranker in a directory. Raises ``ModelNotFound`` or ``UnsupportedModel``, which says why."""
    config = read_object(directory, CONFIG)
    row = _family_of(config)
    if (labels := _labels(config)) != 1:
        raise UnsupportedModel(f"the model has {labels} labels: a reranker has one, its score")
    extra = _sentence_config(directory)
    width = config.get(row.family.keys.width)
    head = row.head(config, width if type(width) is int else 0)
    chain = ModuleChain("", _max_length(directory), Pooling((head.pooling,), include_prompt=True), head.layers)
    encoder, _ = encoder_spec(directory, chain, row.family)
    return RerankDescription(encoder, _activation(config, extra), read_licence(directory))


def _architecture(config: dict[str, Any]) -> str:
    declared = config.get("architectures") or [""]
    return str(declared[0] if isinstance(declared, list) else declared)


def _family_of(config: dict[str, Any]) -> CrossEncoderFamily:
    architecture = _architecture(config)
    if architecture.endswith(GENERATOR):
        raise UnsupportedModel(
            f"{architecture} is a generative reranker, which is not supported: use a sequence classifier with one label"
        )
    if "auto_map" in config:
        raise UnsupportedModel("the reranker comes with Python code, and rerankers with code of their own are refused")
    for row in CROSS_ENCODERS:
        if config.get("model_type") == row.family.model_type and architecture == row.architecture:
            return row
    supported = ", ".join(row.architecture for row in CROSS_ENCODERS)
    problem = f"the architecture {architecture} is not supported" if architecture else f"{CONFIG} has no architectures"
    raise UnsupportedModel(f"{problem}; supported rerankers: {supported}")


def _labels(config: dict[str, Any]) -> int:
    """As transformers counts them: the names of labels decide, and then the number."""
    names = config.get("id2label")
    if isinstance(names, dict):
        return len(names)
    number = config.get("num_labels", DEFAULT_LABELS)
    return number if type(number) is int else DEFAULT_LABELS


def _activation(config: dict[str, Any], extra: dict[str, Any]) -> Activation:
    """What ``CrossEncoder`` applies to a logit: the newest key that is there decides; without any, a sigmoid."""
    file, key, value = _declared_activation(config, extra)
    if value is None:
        return Activation.SIGMOID
    name = value.rpartition(".")[2] if isinstance(value, str) and value.startswith("torch.nn.") else None
    if name not in ACTIVATIONS:
        raise UnsupportedModel(f"{file}: {key} is {json.dumps(value)}, which is not supported")
    return ACTIVATIONS[name]


def _declared_activation(config: dict[str, Any], extra: dict[str, Any]) -> tuple[str, str, Any]:
    """The file, the key and the value."""
    key = "activation_fn"
    if extra.get(key) is not None:
        return SENTENCE_CONFIG, key, extra[key]
    nested = config.get("sentence_transformers")
    if isinstance(nested, dict) and key in nested:
        return CONFIG, f"sentence_transformers.{key}", nested[key]
    older = "sbert_ce_default_activation_function"
    return CONFIG, older, config.get(older)


def _sentence_config(directory: Path) -> dict[str, Any]:
    """What sentence-transformers' newer files say besides the network. Raises ``UnsupportedModel`` for more."""
    if (directory / MODULES).exists():
        _check_modules(read_json(directory, MODULES))
    if not (directory / SENTENCE_CONFIG).exists():
        return {}
    config = read_object(directory, SENTENCE_CONFIG)
    known = {"__version__", "activation_fn", "default_prompt_name", "model_type", "prompts", "similarity_fn_name"}
    refuse_unknown(config, known, SENTENCE_CONFIG)
    if config.get("default_prompt_name") is not None:
        raise UnsupportedModel(f"{SENTENCE_CONFIG}: default_prompt_name must be null for a reranker")
    return config


def _check_modules(modules: Any) -> None:
    """Raises ``UnsupportedModel`` for anything but one Transformer at the top."""
    entries = modules if isinstance(modules, list) else []
    kinds = [str(entry.get("type")) for entry in entries if isinstance(entry, dict)]
    if [kind.rpartition(".")[2] for kind in kinds] != ["Transformer"] or entries[0].get("path") != "":
        found = ", ".join(kinds) or "nothing"
        raise UnsupportedModel(f"{MODULES}: a reranker must be one Transformer at the top, not {found}")


def _max_length(directory: Path) -> int | None:
    """The declared limit of tokens; None where the tokenizer and the positions decide."""
    if not (directory / TRANSFORMER_CONFIG).exists():
        return None
    config = read_object(directory, TRANSFORMER_CONFIG)
    refuse_unknown(config, {"max_seq_length", *TRANSFORMER_KEYS}, TRANSFORMER_CONFIG)
    for key, plain in TRANSFORMER_KEYS.items():
        if key in config and config[key] != plain:
            raise UnsupportedModel(f"{TRANSFORMER_CONFIG}: {key} is {json.dumps(config[key])}, which is not supported")
    limit = config.get("max_seq_length")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UnsupportedModel(
            f"{TRANSFORMER_CONFIG}: max_seq_length must be a positive whole number, not {json.dumps(limit)}"
        )
    return limit
