"""Reads the modules of sentence-transformers from their config files: one row per kind of module.

Every key is either understood, or known not to change vectors, or refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.errors import UnsupportedModel
from build.model.files import CONFIG, MAX_DEPTH
from build.model.json_files import read_object, refuse_unknown
from manifest import Activation, LayerKind, Pooling, PoolingMode

PACKAGE_PREFIX = "sentence_transformers."
TRANSFORMER_CONFIGS = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""A Transformer's config has one of these names. sentence-transformers looks for them in this order."""

LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Older pooling configs have a flag for each mode. Several modes are concatenated in this order."""

PLAIN_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
TRANSFORMER_DEFAULTS: dict[str, Any] = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "processing_kwargs": {},
    "unpad_inputs": None,
}
"""Newer configs of a Transformer have these keys. Any other value means more than a plain text encoder."""

ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": Activation.IDENTITY,
    "torch.nn.modules.activation.Tanh": Activation.TANH,
    "torch.nn.modules.activation.ReLU": Activation.RELU,
    "torch.nn.modules.activation.GELU": Activation.GELU,
    "torch.nn.modules.activation.SiLU": Activation.SILU,
    "torch.nn.modules.activation.Sigmoid": Activation.SIGMOID,
}


@dataclass(frozen=True)
class Module:
    """An entry of modules.json or of a Router: the name of the module's class, and its folder."""

    kind: str
    folder: str


@dataclass(frozen=True)
class TensorNames:
    """Where a layer's tensors are: a folder of the model directory, and their names in its weights."""

    folder: str
    weight: str
    bias: str | None


@dataclass(frozen=True)
class LayerSpec:
    """A layer after pooling."""

    kind: LayerKind
    in_features: int | None = None
    """Components that it accepts; None: any number."""

    out_features: int | None = None
    """Components that it returns; None: as many as it receives."""

    activation: Activation | None = None
    """What follows the matrix of a dense layer; None for other kinds."""

    tensors: TensorNames | None = None
    """Its weights; None for kinds that have none."""


@dataclass(frozen=True)
class ModuleChain:
    """A transformer, pooling, and the layers after it."""

    transformer: str
    """The folder of the transformer; empty for the top one."""

    max_seq_length: int | None
    """The declared limit of tokens; None where the tokenizer and the positions decide."""

    pooling: Pooling
    layers: tuple[LayerSpec, ...]


def parse_module(kind: str, folder: str, name: str) -> Module:
    """Return the module that the file ``name`` declares. Raises ``UnsupportedModel`` for foreign code or files."""
    if folder.startswith("/") or ".." in Path(folder).parts:
        raise UnsupportedModel(f"{name}: the path {folder} is outside the model")
    if len(Path(folder).parts) > MAX_DEPTH:
        raise UnsupportedModel(f"{name}: the path {folder} is more than {MAX_DEPTH} folders deep")
    if not kind.startswith(PACKAGE_PREFIX):
        raise UnsupportedModel(f"{name}: the module {kind} is not one of sentence-transformers' own")
    return Module(kind.rsplit(".", 1)[1], folder)


def read_chain(directory: Path, modules: list[Module], name: str) -> ModuleChain:
    """Read a Transformer, a Pooling and layers. Raises ``UnsupportedModel`` that names the file and the key."""
    kinds = [module.kind for module in modules]
    for kind in kinds:
        if kind not in ("Transformer", "Pooling", *LAYERS):
            raise UnsupportedModel(f"{name}: the module {kind} is not supported")
    if kinds[:2] != ["Transformer", "Pooling"] or not all(kind in LAYERS for kind in kinds[2:]):
        raise UnsupportedModel(f"{name}: the chain {' > '.join(kinds)} is not supported")
    transformer, pooling, *rest = modules
    return ModuleChain(
        transformer=transformer.folder,
        max_seq_length=_read_max_seq_length(directory, transformer.folder),
        pooling=_read_pooling(directory, f"{pooling.folder}/{CONFIG}"),
        layers=read_layers(directory, rest),
    )


def read_layers(directory: Path, modules: list[Module]) -> tuple[LayerSpec, ...]:
    """Read the modules that follow pooling, each of a kind in ``LAYERS``. Raises as ``read_chain``."""
    layers = (LAYERS[module.kind](directory, module.folder) for module in modules)
    return tuple(layer for layer in layers if layer is not None)


def finish_layers(
    layers: tuple[LayerSpec, ...], width: int, truncate_dim: int | None
) -> tuple[tuple[LayerSpec, ...], int]:
    """Add the truncation to ``truncate_dim``, if there is any; return the layers and the vectors' components.

    ``width``: the components that the first layer receives. Raises ``UnsupportedModel`` for layers that do not fit.
    """
    for layer in layers:
        if layer.in_features not in (None, width):
            where = layer.tensors.folder if layer.tensors else layer.kind
            raise UnsupportedModel(f"{where}: the layer accepts {layer.in_features} components, but receives {width}")
        width = layer.out_features or width
    if truncate_dim is not None and truncate_dim < width:
        return (*layers, LayerSpec(LayerKind.TRUNCATE, out_features=truncate_dim)), truncate_dim
    return layers, width


def _read_pooling(directory: Path, name: str) -> Pooling:
    config = read_object(directory, name)
    known = {"word_embedding_dimension", "embedding_dimension", "pooling_mode", "include_prompt", *LEGACY_POOLING}
    refuse_unknown(config, known, name)
    include_prompt = config.get("include_prompt", True)
    if type(include_prompt) is not bool:
        raise UnsupportedModel(f"{name}: include_prompt must be true or false, not {json.dumps(include_prompt)}")
    flags = [mode for flag, mode in LEGACY_POOLING.items() if config.get(flag)]
    declared = config.get("pooling_mode", flags or "mean")
    modes = declared if isinstance(declared, list) else [declared]
    for mode in modes or [None]:
        if mode not in list(PoolingMode):
            raise UnsupportedModel(f"{name}: the pooling mode {mode} is not supported")
    return Pooling(tuple(PoolingMode(mode) for mode in modes), include_prompt)


def _read_max_seq_length(directory: Path, folder: str) -> int | None:
    names = [_inside(folder, name) for name in TRANSFORMER_CONFIGS]
    name = next((name for name in names if (directory / name).exists()), None)
    if name is None:
        return None
    config = read_object(directory, name)
    refuse_unknown(config, {"max_seq_length", "do_lower_case", "modality_config", *TRANSFORMER_DEFAULTS}, name)
    for key, plain in TRANSFORMER_DEFAULTS.items():
        if key in config and config[key] != plain:
            raise UnsupportedModel(f"{name}: {key} is {json.dumps(config[key])}, which is not supported")
    modalities = config.get("modality_config")
    # NOTE: a model that accepts other modalities as well declares them here; they do not affect texts.
    if modalities is not None and (not isinstance(modalities, dict) or modalities.get("text") != PLAIN_TEXT):
        raise UnsupportedModel(f"{name}: modality_config is {json.dumps(modalities)}, which is not supported")
    limit = config.get("max_seq_length")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UnsupportedModel(f"{name}: max_seq_length must be a positive whole number, not {json.dumps(limit)}")
    return limit


def _read_dense(directory: Path, folder: str) -> LayerSpec:
    name = f"{folder}/{CONFIG}"
    config = read_object(directory, name)
    known = {"in_features", "out_features", "bias", "activation_function", "module_input_name", "module_output_name"}
    refuse_unknown(config, known, name)
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise UnsupportedModel(f"{name}: {key} is {json.dumps(config[key])}, which is not supported")
    activation = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise UnsupportedModel(f"{name}: activation_function is {json.dumps(activation)}, which is not supported")
    bias = config.get("bias", True)
    if type(bias) is not bool:
        raise UnsupportedModel(f"{name}: bias must be true or false, not {json.dumps(bias)}")
    return LayerSpec(
        LayerKind.DENSE,
        in_features=_size(config, "in_features", name),
        out_features=_size(config, "out_features", name),
        activation=ACTIVATIONS[activation],
        tensors=TensorNames(folder, "linear.weight", "linear.bias" if bias else None),
    )


def _read_layer_norm(directory: Path, folder: str) -> LayerSpec:
    name = f"{folder}/{CONFIG}"
    config = read_object(directory, name)
    refuse_unknown(config, {"dimension"}, name)
    width = _size(config, "dimension", name)
    tensors = TensorNames(folder, "norm.weight", "norm.bias")
    return LayerSpec(LayerKind.LAYER_NORM, in_features=width, out_features=width, tensors=tensors)


def _normalize(directory: Path, folder: str) -> LayerSpec:
    return LayerSpec(LayerKind.NORMALIZE)


def _skip(directory: Path, folder: str) -> None:
    """Dropout has no effect outside training."""


LAYERS: dict[str, Callable[[Path, str], LayerSpec | None]] = {
    "Dense": _read_dense,
    "LayerNorm": _read_layer_norm,
    "Normalize": _normalize,
    "Dropout": _skip,
}
"""These modules may follow Pooling. Each has a function that reads its folder."""


def _size(config: dict[str, Any], key: str, name: str) -> int:
    value = config.get(key)
    if type(value) is not int or value < 1:
        raise UnsupportedModel(f"{name}: {key} must be a positive whole number, not {json.dumps(value)}")
    return value


def _inside(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
