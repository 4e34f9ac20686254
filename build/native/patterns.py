"""The model families that the native kernels compute: one row each, with the modules of a layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NativeFamily:
    """Paths of modules, as transformers names them."""

    model_types: tuple[str, ...]

    layer: str
    """The prefix of a layer, before its index; the paths of a layer's modules follow it."""

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    feed_forward: tuple[str, str]
    output_norm: str

    relative_bias: str | None = None
    """The table of attention biases by distance; None: the family has none."""


BERT = NativeFamily(
    # NOTE: the encoder that is exported of DPR is a BERT.
    ("bert", "dpr", "electra", "roberta", "xlm-roberta"),
    layer="encoder/layer.",
    query="attention/self/query",
    key="attention/self/key",
    value="attention/self/value",
    attention_output="attention/output/dense",
    attention_norm="attention/output/LayerNorm",
    feed_forward=("intermediate/dense", "output/dense"),
    output_norm="output/LayerNorm",
)
DISTILBERT = NativeFamily(
    ("distilbert",),
    layer="transformer/layer.",
    query="attention/q_lin",
    key="attention/k_lin",
    value="attention/v_lin",
    attention_output="attention/out_lin",
    attention_norm="sa_layer_norm",
    feed_forward=("ffn/lin1", "ffn/lin2"),
    output_norm="output_layer_norm",
)
MPNET = NativeFamily(
    ("mpnet",),
    layer="encoder/layer.",
    query="attention/attn/q",
    key="attention/attn/k",
    value="attention/attn/v",
    attention_output="attention/attn/o",
    attention_norm="attention/LayerNorm",
    feed_forward=("intermediate/dense", "output/dense"),
    output_norm="output/LayerNorm",
    relative_bias="encoder/relative_attention_bias",
)

NATIVE_FAMILIES = (BERT, DISTILBERT, MPNET)


def native_family(model_type: str) -> NativeFamily | None:
    """Return the row of a config's model type, or None: its graphs run on onnxruntime's own kernels."""
    return next((family for family in NATIVE_FAMILIES if model_type in family.model_types), None)
