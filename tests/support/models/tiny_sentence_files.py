"""Writes sentence-transformers' files for a tiny transformer: modules, pooling, layers, prompts, routers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.json_files import write
from tests.support.models.tiny_description import HIDDEN, Dense, Dropout, Layer, LayerNorm, Routes, TinyModel

FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
}
LATER_FLAGS = {"pooling_mode_weightedmean_tokens": "weightedmean", "pooling_mode_lasttoken": "lasttoken"}
"""Early pooling configs of the older form lack these flags."""

HOMES = {
    "Transformer": "base.modules.transformer",
    "Pooling": "sentence_transformer.modules.pooling",
    "Dense": "base.modules.dense",
    "LayerNorm": "sentence_transformer.modules.layer_norm",
    "Normalize": "sentence_transformer.modules.normalize",
    "Dropout": "sentence_transformer.modules.dropout",
}
"""sentence-transformers 5 has each module here. In earlier versions all were in ``models``."""


def write_sentence_files(directory: Path, model: TinyModel) -> None:
    """Write the files that sentence-transformers adds to a transformer, in the form of version 2 or 5."""
    new = model.newer_form
    kinds = ["Transformer", "Pooling", *(type(layer).__name__ for layer in model.all_layers)]
    paths = ["", *(f"{n}_{kind}" for n, kind in enumerate(kinds) if n)]
    modules = [
        {
            "idx": n,
            "name": str(n),
            "path": path,
            "type": f"sentence_transformers.{HOMES[kind] if new else 'models'}.{kind}",
        }
        for n, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    write(directory / "modules.json", modules)
    write(directory / paths[1] / "config.json", pooling_config(model.pooling, new, model.include_prompt))
    _write_layers(directory, paths[2:], model)
    transformer: dict[str, Any] = {"max_seq_length": model.max_seq_length, "do_lower_case": model.do_lower_case}
    if new:
        transformer |= {
            "transformer_task": "feature-extraction",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
            "module_output_name": "token_embeddings",
        }
    write(directory / "sentence_bert_config.json", transformer)
    prompts: dict[str, Any] = {"__version__": {"sentence_transformers": "5.7.0" if new else "2.0.0"}}
    if model.prompts:
        prompts |= {"prompts": model.prompts, "default_prompt_name": model.default_prompt}
    if new:
        prompts |= {"model_type": "SentenceTransformer", "similarity_fn_name": "cosine"}
    if model.truncate_dim is not None:
        prompts |= {"truncate_dim": model.truncate_dim}
    write(directory / "config_sentence_transformers.json", prompts)


def pooling_config(
    pooling: str | tuple[str, ...] | None, newer_form: bool, include_prompt: bool = True
) -> dict[str, Any]:
    modes = (pooling,) if isinstance(pooling, str) else pooling or ()
    if newer_form:
        mode = pooling if len(modes) < 2 else list(modes)
        return {"embedding_dimension": HIDDEN, "pooling_mode": mode, "include_prompt": include_prompt}
    flags = {flag: mode in modes for flag, mode in FLAGS.items()}
    flags |= {flag: True for flag, mode in LATER_FLAGS.items() if mode in modes}
    return {"word_embedding_dimension": HIDDEN, **flags} | ({} if include_prompt else {"include_prompt": False})


def write_router(directory: Path, model: TinyModel, make: Callable[[TinyModel], Path]) -> None:
    """Let sentence-transformers save a model with a Router. ``make`` returns the directory of a plain model."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Router

    def modules_of(plain: TinyModel) -> list[Any]:
        return list(SentenceTransformer(str(make(plain)), device="cpu", local_files_only=True).children())

    def modules_for(route: TinyModel | tuple[Layer, ...]) -> list[Any]:
        return modules_of(route) if isinstance(route, TinyModel) else _modules(route, width, random)

    routes, random = model.router, np.random.default_rng(model.seed)
    assert isinstance(routes, Routes)
    has_models = any(isinstance(route, TinyModel) for route in (routes.query, routes.document))
    shared = None if has_models else _before_router(model)
    before, width = (modules_of(shared), len(shared.modes) * HIDDEN) if shared else ([], HIDDEN)
    router = Router.for_query_document(
        query_modules=modules_for(routes.query),
        document_modules=modules_for(routes.document),
        default_route=routes.default,
        allow_empty_key=routes.default is not None,
    )
    routed_width = router.get_embedding_dimension()
    assert routed_width is not None
    after = _modules(model.all_layers, routed_width, random)
    SentenceTransformer(
        modules=[*before, router, *after],
        device="cpu",
        prompts=model.prompts or None,
        default_prompt_name=model.default_prompt,
        truncate_dim=model.truncate_dim,
    ).save(str(directory), create_model_card=False)


def _before_router(model: TinyModel) -> TinyModel:
    """Return the transformer and pooling that all routes share."""
    return replace(
        model,
        name=f"{model.name} before its router",
        weights=model.weights or model.name,
        router=None,
        layers=(),
        normalize=False,
        truncate_dim=None,
        prompts={},
        default_prompt=None,
    )


def _write_layers(directory: Path, paths: list[str], model: TinyModel) -> None:
    from safetensors.numpy import save_file

    random, width = np.random.default_rng(model.seed), max(1, len(model.modes)) * HIDDEN
    for path, layer in zip(paths, model.all_layers, strict=True):
        match layer:
            case Dense(out, bias, activation):
                config: dict[str, Any] = {"in_features": width, "out_features": out, "bias": bias}
                config |= {"activation_function": _activation(activation)}
                if model.newer_form:
                    config |= {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
            case LayerNorm():
                config = {"dimension": width}
            case Dropout(share):
                config = {"dropout": share}
            case _:
                continue
        write(directory / path / "config.json", config)
        if tensors := _tensors(layer, width, random):
            save_file(tensors, directory / path / "model.safetensors", {"format": "pt"})
        width = layer.out if isinstance(layer, Dense) else width


def _modules(layers: tuple[Layer, ...], width: int, random: np.random.Generator) -> list[Any]:
    """Make the same layers as objects of sentence-transformers."""
    import torch
    from sentence_transformers.sentence_transformer import modules as kinds
    from sentence_transformers.util import import_from_string

    made: list[Any] = []
    for layer in layers:
        match layer:
            case Dense(out, bias, activation):
                made.append(kinds.Dense(width, out, bias, import_from_string(_activation(activation))()))
            case LayerNorm():
                made.append(kinds.LayerNorm(width))
            case Dropout(share):
                made.append(kinds.Dropout(share))
            case _:
                made.append(kinds.Normalize())
        made[-1].load_state_dict({name: torch.tensor(a) for name, a in _tensors(layer, width, random).items()})
        width = layer.out if isinstance(layer, Dense) else width
    return made


def _tensors(layer: Layer, width: int, random: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Draw random weights that keep a vector's components near 1, where activation functions are not linear."""
    match layer:
        case Dense(out, bias, _):
            tensors = {"linear.weight": random.normal(0, width**-0.5, (out, width))}
            tensors |= {"linear.bias": random.normal(0, 0.5, out)} if bias else {}
        case LayerNorm():
            tensors = {"norm.weight": random.normal(1, 0.2, width), "norm.bias": random.normal(0, 0.2, width)}
        case _:
            tensors = {}
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def _activation(name: str) -> str:
    return f"torch.nn.modules.{'linear' if name == 'Identity' else 'activation'}.{name}"
