"""Copies the tensors of the layers after pooling from a model into a bundle."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from build.errors import ModelNotFound, UnsupportedModel
from build.model.describe import Description
from build.model.files import INDEX, PICKLED_WEIGHTS, WEIGHTS
from build.model.sentence_modules import LayerSpec, TensorNames
from manifest import HEAD_FILE, Layer

Tensor = NDArray[np.float32]


@dataclass(frozen=True)
class HeadLayers:
    """The layers after pooling, with their tensors."""

    layers: dict[str, tuple[Layer, ...]]
    """The layers of each encoder, by its name."""

    tensors: dict[str, Tensor]
    """Tensors by the names that the layers use. Layers can share one."""

    def write(self, bundle: Path) -> None:
        """Write the tensors into the bundle, if there are any."""
        arrays: dict[str, Any] = dict(self.tensors)
        if arrays:
            np.savez(bundle / HEAD_FILE, **arrays)


def read_head(directory: Path, description: Description) -> HeadLayers:
    """Read the layers of all encoders.

    Raises ``ModelNotFound`` for a tensor that is missing, ``UnsupportedModel`` for one of the wrong shape.
    """
    return read_layers(directory, {name: encoder.layers for name, encoder in description.encoders.items()})


def read_layers(directory: Path, specs: Mapping[str, tuple[LayerSpec, ...]]) -> HeadLayers:
    """Read layers by the name of what they belong to. Raises as ``read_head``."""
    tensors: dict[str, Tensor] = {}
    layers = {name: tuple(_layer(directory, layer, tensors) for layer in chain) for name, chain in specs.items()}
    return HeadLayers(layers, tensors)


def _layer(directory: Path, layer: LayerSpec, tensors: dict[str, Tensor]) -> Layer:
    names = layer.tensors
    weight = bias = None
    if names is not None:
        is_dense = layer.activation is not None
        shape = (layer.out_features, layer.in_features) if is_dense else (layer.in_features,)
        weight = _add(directory, names, names.weight, shape, tensors)
        if names.bias is not None:
            bias = _add(directory, names, names.bias, (layer.out_features,), tensors)
        elif not is_dense:
            bias = _add_zeros(f"{weight}.no_bias", tensors[weight], tensors)
    size = layer.out_features if names is None else None
    return Layer(layer.kind, weight=weight, bias=bias, activation=layer.activation, size=size)


def _add(
    directory: Path, names: TensorNames, name: str, shape: tuple[int | None, ...], tensors: dict[str, Tensor]
) -> str:
    key = f"{names.folder}/{name}" if names.folder else name
    if key not in tensors:
        tensor = _read(directory / names.folder, name)
        if tensor.shape != shape:
            raise UnsupportedModel(f"{key} must have the shape {shape} of the layer's config, not {tensor.shape}")
        tensors[key] = tensor
    return key


def _add_zeros(key: str, like: Tensor, tensors: dict[str, Tensor]) -> str:
    """Add the bias of a LayerNorm that has none."""
    tensors[key] = np.zeros_like(like)
    return key


def _read(folder: Path, name: str) -> Tensor:
    """Read a tensor of a folder's weights, in one file or in shards, as fp32."""
    try:
        file = _file_of(folder, name)
        if file.suffix == ".safetensors":
            # NOTE: through torch, because numpy has no bfloat16.
            with safe_open(file, framework="pt") as weights:
                tensor = weights.get_tensor(name)
        else:
            tensor = torch.load(file, map_location="cpu", weights_only=True)[name]
        values: Tensor = tensor.detach().float().numpy()
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, pickle.UnpicklingError) as error:
        raise ModelNotFound(f"{folder.name} has no tensor {name}: the model directory is incomplete") from error
    return values


def _file_of(folder: Path, name: str) -> Path:
    """Return the file that holds a tensor: safetensors where they exist, and pickles otherwise."""
    for file in (WEIGHTS, PICKLED_WEIGHTS):
        index = folder / f"{file}{INDEX}"
        if (folder / file).exists():
            return folder / file
        if index.exists():
            return folder / str(json.loads(index.read_text(encoding="utf-8"))["weight_map"][name])
    raise FileNotFoundError(folder / WEIGHTS)
