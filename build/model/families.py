"""Lists the model families that a build reproduces exactly: one row each, and all that decides about a family."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from build.errors import ModelNotFound, RemoteCodeNeeded, UnsupportedModel
from build.model.files import CONFIG
from manifest import PoolingMode


def whole_number(config: dict[str, Any], key: str) -> int:
    """A number of the model's config. Raises ``ModelNotFound`` where it is missing or something else."""
    if key not in config:
        raise ModelNotFound(f"{CONFIG} has no {key}: the model's config is incomplete")
    if type(config[key]) is not int:
        raise ModelNotFound(f"{CONFIG}: {key} is {json.dumps(config[key])}, and must be a whole number")
    return int(config[key])


def _all_positions(config: dict[str, Any]) -> int:
    return whole_number(config, "max_position_embeddings")


def _positions_after_padding(config: dict[str, Any]) -> int:
    """These families number positions from the padding token's id + 1 on (fairseq's habit)."""
    return _all_positions(config) - whole_number({"pad_token_id": 1, **config}, "pad_token_id") - 1


def _n_positions(config: dict[str, Any]) -> int:
    return whole_number(config, "n_positions")


def _unlimited(config: dict[str, Any]) -> None:
    """Positions relative to one another: the tokenizer or sentence-transformers' files state the limit."""


def encoder_of(prefix: str) -> tuple[str, ...]:
    """Architectures that stand for the plain encoder; the heads of these classes are left out."""
    return tuple(prefix + ending for ending in ("Model", "ForMaskedLM", "ForPreTraining"))


@dataclass(frozen=True)
class ConfigKeys:
    """Where a config states the model's shape: the width of an embedding, attention heads, feed-forward width."""

    width: str = "hidden_size"
    heads: str = "num_attention_heads"
    feed_forward: str = "intermediate_size"


@dataclass(frozen=True)
class Family:
    """``model_type`` and ``architectures``: what a config.json calls it; ``positions``: the most tokens of a text.

    ``network``: the class of transformers that loads the weights, ``part`` the attribute of it that is exported.
    ``inputs_like``: the model type whose graph inputs it has, where optimum does not know its own.
    ``bare_pooling``: what pools a model without sentence-transformers' files.
    ``pooled_by_network``: the original is ``network`` alone, whose ``pooler_output`` is the vector; it pools by CLS and
    has a layer of the name ``projection`` behind that where config.json has a ``projection_dim``.
    ``remote_code``: the network is Python code that the model brings.
    ``score_matrices``: how many (heads, tokens, tokens) matrices of fp32 live together in a run, measured.
    """

    model_type: str
    architectures: tuple[str, ...]
    positions: Callable[[dict[str, Any]], int | None] = _all_positions
    keys: ConfigKeys = ConfigKeys()
    network: str = "AutoModel"
    part: str | None = None
    inputs_like: str | None = None
    bare_pooling: PoolingMode = PoolingMode.MEAN
    pooled_by_network: bool = False
    projection: str | None = None
    remote_code: bool = False
    score_matrices: float = 2.25


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
    """The row for a model's config. Raises ``RemoteCodeNeeded``; ``UnsupportedModel`` names the architecture."""
    if "auto_map" in config and not trust_remote_code:
        raise RemoteCodeNeeded(
            "the model brings its own Python code, which would run on this machine: read it, and if you trust it, "
            "pass --trust-remote-code"
        )
    declared = config.get("architectures") or [None]
    architecture = declared[0] if isinstance(declared, list) else declared
    for family in FAMILIES:
        if config.get("model_type") == family.model_type and architecture in (None, *family.architectures):
            return family
    supported = ", ".join(dict.fromkeys(family.architectures[0] for family in FAMILIES))
    name = architecture or config.get("model_type") or "none named in config.json"
    raise UnsupportedModel(f"the architecture {name} is not supported; supported encoders: {supported}")
