"""The layers after pooling: dense layers, normalization, truncation."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifest import HEAD_FILE, Activation, BundleError, Encoder, Layer, LayerKind

Array = NDArray[np.float32]

NORM_FLOOR = np.float32(1e-12)
"""A vector with a smaller norm is divided by this, as torch.nn.functional.normalize does."""

EPSILON = np.float32(1e-5)
"""A LayerNorm adds this to the variance: torch.nn.LayerNorm's default, which sentence-transformers keeps."""


class Head:
    """The layers of one encoder, with their tensors in memory."""

    def __init__(self, layers: tuple[Layer, ...], tensors: dict[str, Array]) -> None:
        """Raises ``BundleError`` for tensors that are missing or do not fit each other."""
        self._described, self._tensors = layers, tensors
        self._layers = tuple(_prepare(layer, tensors) for layer in layers)

    def after_normalizing(self) -> Head | None:
        """The layers after the first one, if that normalizes; None: it does not."""
        if self._layers[:1] != (normalize,):
            return None
        return Head(self._described[1:], self._tensors)

    def apply(self, vector: Array) -> Array:
        """Apply the layers: (width,) to (dim,)."""
        for layer in self._layers:
            vector = layer(vector)
        return vector

    def apply_all(self, vectors: Array) -> Array:
        """Apply the layers to each row, (texts, width) to (texts, dim), with the same bits as to the row alone."""
        for layer in self._layers:
            vectors = normalize_rows(vectors) if layer is normalize else np.stack([layer(each) for each in vectors])
        return vectors


def read_head(directory: Path, encoders: dict[str, Encoder]) -> dict[str, Head]:
    """Read each encoder's head. Raises ``BundleError`` for a file of tensors that is missing or damaged."""
    tensors = _read_tensors(directory, [layer for encoder in encoders.values() for layer in encoder.layers])
    return {name: Head(encoder.layers, tensors) for name, encoder in encoders.items()}


def read_only_head(directory: Path, layers: tuple[Layer, ...]) -> Head:
    """Read the head of a model with one. Raises as ``read_head``."""
    return Head(layers, _read_tensors(directory, layers))


def normalize(vector: Array) -> Array:
    """Divide the vector by its Euclidean norm. A zero vector stays zero."""
    # NOTE: summed in fp64 and rounded to fp32, the norm is the same on all CPUs, whatever the order in which they sum.
    wide = vector.astype(np.float64)
    # PERF: np.linalg.norm and np.maximum take twice as long. max() keeps a NaN that is its first argument.
    return vector / max(np.float32(math.sqrt(wide.dot(wide))), NORM_FLOOR)


def normalize_rows(vectors: Array) -> Array:
    """Divide each row by its norm, with the bits of ``normalize``. PERF: a fraction of its time for each row."""
    wide = vectors.astype(np.float64)
    # NOTE: it adds in the order of ``dot``, as a product of matrices does not.
    squares = np.vecdot(wide, wide)
    return vectors / np.maximum(np.sqrt(squares).astype(np.float32), NORM_FLOOR)[:, np.newaxis]


def _read_tensors(directory: Path, layers: Iterable[Layer]) -> dict[str, Array]:
    """The tensors of the layers, by name; no file is opened where they have none."""
    if not any(layer.weight is not None for layer in layers):
        return {}
    try:
        with (directory / HEAD_FILE).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: np.ascontiguousarray(file[name], dtype=np.float32) for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{HEAD_FILE} cannot be read: {error}") from None


def _prepare(layer: Layer, tensors: dict[str, Array]) -> Callable[[Array], Array]:
    if layer.kind is LayerKind.NORMALIZE:
        return normalize
    if layer.kind is LayerKind.TRUNCATE:
        return lambda vector: vector[: layer.size]
    weight = _tensor(layer.weight, tensors)
    if layer.kind is LayerKind.LAYER_NORM:
        scale, shift = weight, _bias(layer, weight, tensors)
        return lambda vector: _layer_norm(vector, scale, shift)
    activation = ACTIVATIONS[layer.activation or Activation.IDENTITY]
    if layer.bias is None:
        return lambda vector: activation(weight @ vector)
    bias = _bias(layer, weight, tensors)
    return lambda vector: activation(weight @ vector + bias)


def _bias(layer: Layer, weight: Array, tensors: dict[str, Array]) -> Array:
    bias = _tensor(layer.bias, tensors)
    if bias.shape != weight.shape[:1]:
        raise BundleError(f"{HEAD_FILE}: {layer.bias} must have the shape {weight.shape[:1]}, not {bias.shape}")
    return bias


def _tensor(name: str | None, tensors: dict[str, Array]) -> Array:
    if name is None or name not in tensors:
        raise BundleError(f"{HEAD_FILE} has no tensor {name}")
    return tensors[name]


def _layer_norm(vector: Array, weight: Array, bias: Array) -> Array:
    centered = vector - vector.mean(dtype=np.float32)
    return centered / np.sqrt(np.square(centered).mean(dtype=np.float32) + EPSILON) * weight + bias


def _gelu(vector: Array) -> Array:
    """Return x Φ(x), with the exact normal distribution, as torch.nn.GELU() does."""
    phi = [0.5 * (1.0 + math.erf(x / math.sqrt(2.0))) for x in vector.tolist()]
    return vector * np.asarray(phi, dtype=np.float32)


def _sigmoid(vector: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.float32(1) / (np.float32(1) + np.exp(-vector))


ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {
    Activation.IDENTITY: lambda vector: vector,
    Activation.TANH: np.tanh,
    Activation.RELU: lambda vector: np.maximum(vector, np.float32(0)),
    Activation.GELU: _gelu,
    Activation.SILU: lambda vector: vector * _sigmoid(vector),
    Activation.SIGMOID: _sigmoid,
}
