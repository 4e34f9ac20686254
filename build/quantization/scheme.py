"""How each kind of kernels quantizes activations and weights, so that calibration can measure the error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from build.quantization.groups import channel_groups

ACTIVATION_QMAX = 255
"""Quantized activations are in 0 … 255: 256 levels."""

Text = NDArray[np.float32]
"""The activations of one text: (tokens, channels)."""


@dataclass(frozen=True)
class QuantizationScheme:
    """What calibration needs to know about the kernels that will run a graph."""

    scaling_needs_node: bool
    """Whether channel scales that no norm absorbs cost a multiplication at every run."""

    groups: Callable[[int], tuple[int, ...] | None]
    """From a matrix's rows to the sizes of the groups of rows with a scale each; None: one scale per column."""

    activation_quantizers: tuple[Callable[[Text], Text], ...]
    """Each returns a text as products see it, quantized and dequantized; errors are averaged over them."""

    def quantized(self, texts: Sequence[Text]) -> Iterator[NDArray[np.float32]]:
        """Yield (tokens of all texts, channels) from each activation quantizer."""
        for quantizer in self.activation_quantizers:
            yield np.concatenate([quantizer(text) for text in texts])


def per_tensor(text: Text) -> Text:
    """Quantize as ONNX's DynamicQuantizeLinear does: 256 levels from the minimum to the maximum, one of them 0."""
    return _including_zero(text, axis=None)


def per_token(text: Text) -> Text:
    """Quantize as ``per_tensor`` does, each token by itself."""
    return _including_zero(text, axis=1)


def per_group(text: Text) -> Text:
    """Quantize with 256 levels from the minimum to the maximum of a token's group of channels (docs/kernels.md)."""
    ends = np.cumsum(channel_groups(text.shape[1]))[:-1]
    return np.concatenate([_from_minimum(part) for part in np.split(text, ends, axis=1)], axis=1)


NATIVE = QuantizationScheme(scaling_needs_node=False, groups=channel_groups, activation_quantizers=(per_group,))
STOCK = QuantizationScheme(
    scaling_needs_node=True, groups=lambda rows: None, activation_quantizers=(per_tensor, per_token)
)
"""NOTE: onnxruntime takes one scale per text. What suits single tokens as well was more accurate on unseen texts."""


def _from_minimum(rows: Text) -> Text:
    low = rows.min(axis=1, keepdims=True)
    scale = (rows.max(axis=1, keepdims=True) - low) / np.float32(ACTIVATION_QMAX)
    scale[scale == 0] = 1
    values: Text = np.rint((rows - low) / scale)
    return values * scale + low


def _including_zero(rows: Text, axis: int | None) -> Text:
    low = np.minimum(rows.min(axis=axis, keepdims=True), 0)
    high = np.maximum(rows.max(axis=axis, keepdims=True), 0)
    scale = (high - low) / np.float32(ACTIVATION_QMAX)
    scale[scale == 0] = 1
    zero = np.rint(-low / scale)
    values: Text = np.clip(np.rint(rows / scale) + zero, 0, ACTIVATION_QMAX) - zero
    return values * scale
