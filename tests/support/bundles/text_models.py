"""Makes the manifest's description of a text model for tests; both environments can import it."""

from __future__ import annotations

from typing import Any

from manifest import (
    ONLY_ENCODER,
    Encoder,
    Graph,
    Layer,
    LayerKind,
    Layout,
    Pooling,
    PoolingMode,
    TextModel,
    WorkingMemory,
)

NORMALIZE = Layer(LayerKind.NORMALIZE)


def an_encoder(*modes: PoolingMode, layers: tuple[Layer, ...] = (), **values: Any) -> Encoder:
    """An encoder that pools by ``modes`` (mean, unless given)."""
    plain: dict[str, Any] = {
        "architecture": "bert",
        "tokenizer": "tokenizer.json",
        "graph": "model",
        "width": 4,
        "max_tokens": 8,
        "pooling": Pooling(modes or (PoolingMode.MEAN,), include_prompt=True),
        "layers": layers,
        "prompt_tokens": {},
        "memory": WorkingMemory(fixed=0, per_token=1000, per_pair=10),
    }
    return Encoder(**plain | values)


def a_text_model(*modes: PoolingMode, layers: tuple[Layer, ...] = (), **values: Any) -> TextModel:
    """A model with one encoder, or with those that ``values`` names."""
    plain: dict[str, Any] = {
        "dim": 4,
        "prompts": {},
        "default_prompt": None,
        "tasks": {},
        "encoders": {ONLY_ENCODER: an_encoder(*modes, layers=layers)},
        "routes": {},
        "default_encoder": ONLY_ENCODER,
        "graphs": {
            "model": Graph("model.onnx", "model.onnx.data", ("input_ids",), "last_hidden_state", Layout.PADDED, None)
        },
    }
    return TextModel(**plain | values)


def two_routes(**values: Any) -> TextModel:
    """A model that tells queries from passages, with CLS for the one and mean for the other, and no default."""
    encoders = {"query": an_encoder(PoolingMode.CLS), "document": an_encoder()}
    routes = {"query": "query", "passage": "document"}
    plain: dict[str, Any] = {"encoders": encoders, "routes": routes, "default_encoder": None}
    return a_text_model(**plain | values)
