"""Lists the model families that a build can reproduce: one row per family holds everything that decides about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from build.errors import ModelNotFound, RemoteCodeNeeded, UnsupportedModel
from build.model.files import CONFIG
from manifest import PoolingMode


def whole_number(config: dict[str, Any], key: str) -> int:
    """Return a whole number of the model's config. Raises ``ModelNotFound`` where it is missing or something else."""
    if key not in config:
        raise ModelNotFound(f"{CONFIG} has no {key}: the model's config is incomplete")
    if type(config[key]) is not int:
        raise ModelNotFound(f"{CONFIG}: {key} must be a whole number, not {json.dumps(config[key])}")
    return int(config[key])


def _all_positions(config: dict[str, Any]) -> int:
    return whole_number(config, "max_position_embeddings")


def _positions_after_padding(config: dict[str, Any]) -> int:
    """Positions of families that number them from the padding token's id + 1 on, as fairseq does."""
    return _all_positions(config) - whole_number({"pad_token_id": 1, **config}, "pad_token_id") - 1


def _n_positions(config: dict[str, Any]) -> int:
    return whole_number(config, "n_positions")


def _unlimited(config: dict[str, Any]) -> None:
    """No limit: positions are relative. The tokenizer or sentence-transformers' files declare one."""


def encoder_of(prefix: str) -> tuple[str, ...]:
    """Names of architectures whose encoder is used alone, without the heads that some of these classes add."""
    return tuple(prefix + ending for ending in ("Model", "ForMaskedLM", "ForPreTraining"))


@dataclass(frozen=True)
class ConfigKeys:
    """The keys under which a config.json declares the transformer's shape."""

    width: str = "hidden_size"
    """Components of a token's embedding."""

    heads: str = "num_attention_heads"
    feed_forward: str = "intermediate_size"


@dataclass(frozen=True)
class Family:
    """What a build has to know about the models of one ``model_type``."""

    model_type: str
    """The ``model_type`` in config.json."""

    architectures: tuple[str, ...]
    """The names in config.json's ``architectures`` that this row is for. The first one stands for all in messages."""

    positions: Callable[[dict[str, Any]], int | None] = _all_positions
    """Computes the maximum number of tokens from config.json; None where positions set no limit."""

    keys: ConfigKeys = ConfigKeys()
    """Where config.json declares width, attention heads and feed-forward width."""

    network: str = "AutoModel"
    """The class of transformers that loads the weights."""

    part: str | None = None
    """The attribute of the network that is exported; None: all of it."""

    inputs_like: str | None = None
    """The model type whose graph inputs are the same, where optimum does not know this one."""

    bare_pooling: PoolingMode = PoolingMode.MEAN
    """How a model without sentence-transformers' files is pooled."""

    pooled_by_network: bool = False
    """Whether the original is ``network`` alone, whose ``pooler_output`` is the vector. Such a network pools by CLS."""

    projection: str | None = None
    """The layer after the network's own pooling, which exists where config.json's ``projection_dim`` is above 0."""

    remote_code: bool = False
    """Whether the network is Python code that comes with the model."""

    score_matrices: float = 2.25
    """How many fp32 matrices of (heads, tokens, tokens) exist at a time during a run, as measured."""


FAMILIES = (
    Family("bert", encoder_of("Bert")),
    Family("distilbert", encoder_of("DistilBert"), keys=ConfigKeys("dim", "n_heads", "hidden_dim"), score_matrices=5.5),
    Family("roberta", encoder_of("Roberta"), _positions_after_padding),
    Family("xlm-roberta", encoder_of("XLMRoberta"), _positions_after_padding),
    Family("mpnet", encoder_of("MPNet"), _positions_after_padding, score_matrices=4.25),
    Family("modernbert", encoder_of("ModernBert"), score_matrices=2.75),
    Family("deberta-v2", encoder_of("DebertaV2"), score_matrices=6.5),
    Family(
        "t5",
        ("T5EncoderModel", "T5ForConditionalGeneration", "T5Model"),
        _unlimited,
        keys=ConfigKeys("d_model", "num_heads", "d_ff"),
        network="T5EncoderModel",  # NOTE: AutoModel adds the decoder, whose states an export would end with.
        inputs_like="distilbert",
        score_matrices=4.5,
    ),
    Family("qwen3", ("Qwen3Model",), score_matrices=2.75),
    Family("qwen3", ("Qwen3ForCausalLM",), bare_pooling=PoolingMode.LAST_TOKEN, score_matrices=2.75),
    Family("gemma3_text", ("Gemma3TextModel",), score_matrices=2.75),
    Family(
        "dpr",
        ("DPRQuestionEncoder",),
        network="DPRQuestionEncoder",
        part="question_encoder.bert_model",
        inputs_like="bert",
        bare_pooling=PoolingMode.CLS,
        pooled_by_network=True,
        projection="question_encoder.encode_proj",
    ),
    Family(
        "dpr",
        ("DPRContextEncoder",),
        network="DPRContextEncoder",
        part="ctx_encoder.bert_model",
        inputs_like="bert",
        bare_pooling=PoolingMode.CLS,
        pooled_by_network=True,
        projection="ctx_encoder.encode_proj",
    ),
    Family(
        "nomic_bert",
        ("NomicBertModel",),
        _n_positions,
        keys=ConfigKeys("n_embd", "n_head", "n_inner"),
        inputs_like="bert",
        remote_code=True,
    ),
)


def family_of(config: dict[str, Any], trust_remote_code: bool) -> Family:
    """Return the row for a model's config.

    Raises ``RemoteCodeNeeded``, or ``UnsupportedModel`` that names the architecture.
    """
    if "auto_map" in config and not trust_remote_code:
        raise RemoteCodeNeeded(
            "the model comes with Python code, which would run on this machine: read it, and if you trust it, "
            "pass --trust-remote-code"
        )
    declared = config.get("architectures") or [None]
    architecture = declared[0] if isinstance(declared, list) else declared
    for family in FAMILIES:
        if config.get("model_type") == family.model_type and architecture in (None, *family.architectures):
            return family
    supported = ", ".join(dict.fromkeys(family.architectures[0] for family in FAMILIES))
    name = architecture or config.get("model_type")
    problem = f"the architecture {name} is not supported" if name else f"{CONFIG} names no architecture"
    raise UnsupportedModel(f"{problem}; supported encoders: {supported}")
