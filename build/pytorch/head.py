"""Reads the tensors of the layers behind pooling from a model, and writes them into the bundle."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

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
    """``layers`` of each encoder, by its name, and their ``tensors``; what two of them share is there once."""

    layers: dict[str, tuple[Layer, ...]]
    tensors: dict[str, Tensor]

    def write(self, bundle: Path) -> None:
        """No file where there are no tensors."""
        if self.tensors:
            np.savez(bundle / HEAD_FILE, **self.tensors)


def read_head(directory: Path, description: Description) -> HeadLayers:
    """Raises ``ModelNotFound`` for a tensor that is missing, ``UnsupportedModel`` for one of another shape."""
    tensors: dict[str, Tensor] = {}
    layers = {
        name: tuple(_layer(directory, layer, tensors) for layer in encoder.layers)
        for name, encoder in description.encoders.items()
    }
    return HeadLayers(layers, tensors)


def _layer(directory: Path, layer: LayerSpec, tensors: dict[str, Tensor]) -> Layer:
    names = layer.tensors
    weight = bias = None
    if names is not None:
        is_dense = layer.activation is not None
        shape = (layer.out_features, layer.in_features) if is_dense else (layer.in_features,)
        weight = _add(directory, names, names.weight, shape, tensors)
        bias = _add(directory, names, names.bias, (layer.out_features,), tensors) if names.bias else None
    size = layer.out_features if names is None else None
    return Layer(layer.kind, weight=weight, bias=bias, activation=layer.activation, size=size)


def _add(
    directory: Path, names: TensorNames, name: str, shape: tuple[int | None, ...], tensors: dict[str, Tensor]
) -> str:
    key = f"{names.folder}/{name}" if names.folder else name
    if key not in tensors:
        tensor = _read(directory / names.folder, name)
        if tensor.shape != shape:
            raise UnsupportedModel(f"{key} has the shape {tensor.shape}, and the layer's config says {shape}")
        tensors[key] = tensor
    return key


def _read(folder: Path, name: str) -> Tensor:
    """A tensor of a folder's weights, in one file or in shards, in fp32."""
    try:
        file = _file_of(folder, name)
        if file.suffix == ".safetensors":
            # NOTE: through torch, because numpy does not know bfloat16.
            with safe_open(file, framework="pt") as weights:
                tensor = weights.get_tensor(name)
        else:
            tensor = torch.load(file, map_location="cpu", weights_only=True)[name]
        values: Tensor = tensor.detach().float().numpy()
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, pickle.UnpicklingError) as error:
        raise ModelNotFound(f"{folder.name} has no tensor {name}: the model directory is incomplete") from error
    return values


def _file_of(folder: Path, name: str) -> Path:
    """The file that holds a tensor: safetensors where there are some."""
    for file in (WEIGHTS, PICKLED_WEIGHTS):
        index = folder / f"{file}{INDEX}"
        if (folder / file).exists():
            return folder / file
        if index.exists():
            return folder / str(json.loads(index.read_text(encoding="utf-8"))["weight_map"][name])
    raise FileNotFoundError(folder / WEIGHTS)
