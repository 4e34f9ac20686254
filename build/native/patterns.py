"""The model families that the native kernels compute: one row each, with the modules of a layer."""

from __future__ import annotations

from dataclasses import dataclass

from build.native.encoder import AttentionMask


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

    word: str = "embeddings/word_embeddings"
    position: str = "embeddings/position_embeddings"
    token_type: str | None = "embeddings/token_type_embeddings"
    embeddings_norm: str | None = "embeddings/LayerNorm"
    """None: embeddings are not normalized."""

    mask: AttentionMask = AttentionMask.NONE

    final_norm: str | None = None
    """The norm after the last layer; None: the family has none."""

    patches: str | None = None
    """The product that embeds a patch of an image; None: the family reads texts, which have words and positions."""

    projection: str | None = None
    """The product after the final norm, of encoders of images."""

    @property
    def norm_first(self) -> bool:
        """Whether the norms of layers come before products. Only then is there one more after the last layer."""
        return self.final_norm is not None


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

CLIP_TEXT = NativeFamily(
    ("clip_text_model",),
    layer="text_model/encoder/layers.",
    query="self_attn/q_proj",
    key="self_attn/k_proj",
    value="self_attn/v_proj",
    attention_output="self_attn/out_proj",
    attention_norm="layer_norm1",
    feed_forward=("mlp/fc1", "mlp/fc2"),
    output_norm="layer_norm2",
    word="text_model/embeddings/token_embedding",
    position="text_model/embeddings/position_embedding",
    token_type=None,
    embeddings_norm=None,
    mask=AttentionMask.CAUSAL,
    final_norm="text_model/final_layer_norm",
)
CLIP_VISION = NativeFamily(
    ("clip_vision_model",),
    layer="vision_model/encoder/layers.",
    query="self_attn/q_proj",
    key="self_attn/k_proj",
    value="self_attn/v_proj",
    attention_output="self_attn/out_proj",
    attention_norm="layer_norm1",
    feed_forward=("mlp/fc1", "mlp/fc2"),
    output_norm="layer_norm2",
    embeddings_norm="vision_model/pre_layrnorm",
    final_norm="vision_model/post_layernorm",
    patches="vision_model/embeddings/patch_embedding",
    projection="visual_projection",
)

NATIVE_FAMILIES = (BERT, DISTILBERT, MPNET)


def native_family(model_type: str) -> NativeFamily | None:
    """Return the row of a config's model type, or None: its graphs run on onnxruntime's own kernels."""
    return next((family for family in NATIVE_FAMILIES if model_type in family.model_types), None)
