"""Says how each kind of kernels rounds what goes into a product, for preparation to measure what that loses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from build.quantization.groups import channel_groups

LEVELS = 255

Text = NDArray[np.float32]
"""Activations of one text: (tokens, channels)."""


@dataclass(frozen=True)
class ProductRounding:
    """``groups(channels)``: the sizes of the groups of neighbouring input channels that have a scale of their own in
    each column of a matrix; None where a column has one scale. ``activations``: each gives a text as products see it;
    errors are the mean over them. ``scaling_is_a_node``: channels that no norm scales take a product more in each run.
    """

    scaling_is_a_node: bool
    groups: Callable[[int], tuple[int, ...] | None]
    activations: tuple[Callable[[Text], Text], ...]

    def of(self, texts: Sequence[Text]) -> Iterator[NDArray[np.float32]]:
        """(tokens of all texts, channels), in each way."""
        for way in self.activations:
            yield np.concatenate([way(text) for text in texts])


def by_group(text: Text) -> Text:
    """256 steps from the least to the largest value of each token in each group of channels (docs/kernels.md)."""
    ends = np.cumsum(channel_groups(text.shape[1]))[:-1]
    return np.concatenate([_from_the_least(part) for part in np.split(text, ends, axis=1)], axis=1)


def by_text(text: Text) -> Text:
    """As ONNX's DynamicQuantizeLinear does it: 256 steps from the least to the largest value, 0 being one of them."""
    return _through_zero(text, axis=None)


def by_token(text: Text) -> Text:
    """As ``by_text``, each token by itself."""
    return _through_zero(text, axis=1)


NATIVE = ProductRounding(False, channel_groups, (by_group,))
STOCK = ProductRounding(True, lambda channels: None, (by_text, by_token))
"""NOTE: onnxruntime takes one scale for a text. What suits single tokens as well has been nearer on unseen texts."""


def _from_the_least(rows: Text) -> Text:
    low = rows.min(axis=1, keepdims=True)
    scale = (rows.max(axis=1, keepdims=True) - low) / np.float32(LEVELS)
    scale[scale == 0] = 1
    steps: Text = np.rint((rows - low) / scale)
    return steps * scale + low


def _through_zero(rows: Text, axis: int | None) -> Text:
    low = np.minimum(rows.min(axis=axis, keepdims=True), 0)
    high = np.maximum(rows.max(axis=axis, keepdims=True), 0)
    scale = (high - low) / np.float32(LEVELS)
    scale[scale == 0] = 1
    zero = np.rint(-low / scale)
    steps: Text = np.clip(np.rint(rows / scale) + zero, 0, LEVELS) - zero
    return steps * scale
