"""Lists the model families that the native kernels compute: one row each, with the modules that a layer is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NativeFamily:
    """Paths of modules as transformers names them; those of a layer are below ``layer``, which ends in its number.

    ``relative_bias``: the path of the table that adds to attention by distance, for families that have one.
    """

    model_types: tuple[str, ...]
    layer: str
    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    feed_forward: tuple[str, str]
    output_norm: str
    relative_bias: str | None = None


BERT = NativeFamily(
    # NOTE: what is exported of DPR is a BERT.
    ("bert", "dpr", "roberta", "xlm-roberta"),
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
    """The row for a config's model type; None: its graph runs in onnxruntime's own kernels."""
    return next((family for family in NATIVE_FAMILIES if model_type in family.model_types), None)
