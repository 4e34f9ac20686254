"""The families of cross-encoders that a build can reproduce: one row each, with the layers that end at the logit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from build.errors import UnsupportedModel
from build.model.families import FAMILIES, ConfigKeys, Family, whole_number
from build.model.files import CONFIG
from build.model.sentence_modules import LayerSpec, TensorNames
from manifest import Activation, LayerKind, PoolingMode

Config = dict[str, Any]

NORM_EPSILON = 1e-5
"""What the runtime adds to the variance in a LayerNorm."""

NETWORK_ACTIVATIONS = {
    "gelu": Activation.GELU,
    "relu": Activation.RELU,
    "silu": Activation.SILU,
    "swish": Activation.SILU,
    "tanh": Activation.TANH,
}
"""transformers' names of activation functions."""

LOGITS = 1
"""A reranker has one label, and the last layer one output."""


@dataclass(frozen=True)
class LogitHead:
    """How token embeddings become one logit."""

    pooling: PoolingMode
    layers: tuple[LayerSpec, ...]


@dataclass(frozen=True)
class CrossEncoderFamily:
    """The sequence classifiers of one ``model_type``."""

    family: Family
    """The encoder."""
    head: Callable[[Config, int], LogitHead]
    """From config.json and the encoder's width to what follows the encoder."""

    @property
    def architecture(self) -> str:
        """The name in config.json."""
        return self.family.architectures[0]


def _dense(name: str, width: int, out: int, activation: Activation, bias: bool = True) -> LayerSpec:
    names = TensorNames("", f"{name}.weight", f"{name}.bias" if bias else None)
    return LayerSpec(LayerKind.DENSE, width, out, activation, names)


def _two_layers(first: str, last: str, activation: Activation) -> Callable[[Config, int], LogitHead]:
    """The first token's embedding through a dense layer with an activation, and a dense layer without one."""

    def head(config: Config, width: int) -> LogitHead:
        layers = _dense(first, width, width, activation), _dense(last, width, LOGITS, Activation.IDENTITY)
        return LogitHead(PoolingMode.CLS, layers)

    return head


def _deberta_head(config: Config, width: int) -> LogitHead:
    if whole_number({"pooler_hidden_size": width, **config}, "pooler_hidden_size") != width:
        raise UnsupportedModel(f"{CONFIG}: pooler_hidden_size must be {width}, the width of the encoder")
    return _two_layers("pooler.dense", "classifier", _activation(config, "pooler_hidden_act"))(config, width)


def _modernbert_head(config: Config, width: int) -> LogitHead:
    if (epsilon := config.get("norm_eps", NORM_EPSILON)) != NORM_EPSILON:
        raise UnsupportedModel(f"{CONFIG}: norm_eps must be {NORM_EPSILON:g}, not {json.dumps(epsilon)}")
    pooling = config.get("classifier_pooling", "cls")
    if pooling not in (PoolingMode.CLS, PoolingMode.MEAN):
        raise UnsupportedModel(f"{CONFIG}: classifier_pooling must be cls or mean, not {json.dumps(pooling)}")
    norm = TensorNames("", "head.norm.weight", "head.norm.bias" if config.get("norm_bias", False) else None)
    activation = _activation(config, "classifier_activation")
    return LogitHead(
        PoolingMode(pooling),
        (
            _dense("head.dense", width, width, activation, bias=bool(config.get("classifier_bias", False))),
            LayerSpec(LayerKind.LAYER_NORM, width, width, tensors=norm),
            _dense("classifier", width, LOGITS, Activation.IDENTITY),
        ),
    )


def _activation(config: Config, key: str) -> Activation:
    name = config.get(key, "gelu")
    if name not in list(NETWORK_ACTIVATIONS):
        raise UnsupportedModel(f"{CONFIG}: {key} is {json.dumps(name)}, which is not supported")
    return NETWORK_ACTIVATIONS[name]


def _encoder(model_type: str, architecture: str) -> Family:
    """The row of the same encoder without a head, for a sequence classifier."""
    row = next(family for family in FAMILIES if family.model_type == model_type)
    return Family(model_type, (architecture,), row.positions, row.keys, score_matrices=row.score_matrices)


_PROJECTED = "classifier.dense", "classifier.out_proj"

CROSS_ENCODERS = (
    CrossEncoderFamily(
        _encoder("bert", "BertForSequenceClassification"),
        _two_layers("bert.pooler.dense", "classifier", Activation.TANH),
    ),
    CrossEncoderFamily(
        _encoder("roberta", "RobertaForSequenceClassification"), _two_layers(*_PROJECTED, Activation.TANH)
    ),
    CrossEncoderFamily(
        _encoder("xlm-roberta", "XLMRobertaForSequenceClassification"), _two_layers(*_PROJECTED, Activation.TANH)
    ),
    CrossEncoderFamily(_encoder("mpnet", "MPNetForSequenceClassification"), _two_layers(*_PROJECTED, Activation.TANH)),
    CrossEncoderFamily(
        _encoder("distilbert", "DistilBertForSequenceClassification"),
        _two_layers("pre_classifier", "classifier", Activation.RELU),
    ),
    CrossEncoderFamily(
        Family("electra", ("ElectraForSequenceClassification",), keys=ConfigKeys()),
        _two_layers(*_PROJECTED, Activation.GELU),
    ),
    CrossEncoderFamily(_encoder("modernbert", "ModernBertForSequenceClassification"), _modernbert_head),
    CrossEncoderFamily(_encoder("deberta-v2", "DebertaV2ForSequenceClassification"), _deberta_head),
)
