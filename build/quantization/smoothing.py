"""Chooses how the channels of an activation are scaled and split before quantization, by the error that remains."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from build.quantization.linear_inputs import LinearInput
from build.quantization.observer import ActivationStats
from build.quantization.rounding import expand_groups, quantize_per_channel
from build.quantization.scheme import QuantizationScheme

ALPHAS = (0.35, 0.5, 0.65, 0.8, 0.9)
"""These alphas of SmoothQuant are tried for every input."""

SPLIT_ALPHAS = (None, 0.35, 0.5, 0.65)
"""These alphas are tried together with outlier splitting; None: not smoothed."""

CHANNELS_PER_SPLIT = 96
"""One channel is added for this many, rounded up to a multiple of ``SPLIT_MULTIPLE``."""

SPLIT_MULTIPLE = 16
"""Kernels compute this many columns at once: adding fewer channels costs as much."""

MAX_ERROR_RATIO = 0.8
"""A scaling that takes time at every run must reduce the squared error to this fraction or less."""

MIN_RELATIVE_MAX = 0.01
"""Channel maxima are floored at this fraction of their median."""

MIN_MAX = 1e-5
"""Maxima of activations and weights are floored at this value."""

SAMPLE_COLUMNS = 512
"""Errors are measured on about this many columns of a matrix, evenly spread: each has over a thousand products."""


@dataclass(frozen=True)
class ChannelScaling:
    """How the channels of an activation are split and scaled; matrices get rows that compensate for it."""

    splits: NDArray[np.int64]
    """How many channels each channel becomes, (width,)."""

    scales: NDArray[np.float32]
    """What each of the resulting channels is divided by, (sum of splits,)."""

    alpha: float | None
    """SmoothQuant's alpha; None: not smoothed."""

    @property
    def added(self) -> int:
        """How many channels splitting adds."""
        return len(self.scales) - len(self.splits)

    @property
    def has_splits(self) -> bool:
        return self.added > 0

    def activation(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Split and scale an activation, (…, width) to (…, sum of splits)."""
        scaled: NDArray[np.float32] = np.divide(np.repeat(rows, self.splits, axis=-1), self.scales)
        return scaled

    def matrix(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compensate in a matrix, (width, columns) to (sum of splits, columns), so that products stay the same."""
        factors = self.scales / np.repeat(self.splits, self.splits).astype(np.float32)
        compensated: NDArray[np.float32] = np.multiply(np.repeat(matrix, self.splits, axis=0), factors[:, np.newaxis])
        return compensated

    def hessian(self, hessian: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn E[x xᵀ] of an activation into that of the scaled one."""
        channels = np.repeat(np.arange(len(self.splits)), self.splits)
        return hessian[np.ix_(channels, channels)] / np.outer(self.scales, self.scales)


def identity_scaling(width: int) -> ChannelScaling:
    """Return the scaling that leaves every channel as it is."""
    return ChannelScaling(np.ones(width, dtype=np.int64), np.ones(width, dtype=np.float32), None)


@dataclass(frozen=True)
class Choice:
    """The scaling of one input, with the relative root-mean-square error of its products."""

    scaling: ChannelScaling | None
    """None: channels stay as they are."""

    error: float

    plain_error: float
    """The error without a scaling."""


def choose(
    linear_input: LinearInput,
    stats: ActivationStats,
    matrices: Sequence[NDArray[np.float32]],
    scheme: QuantizationScheme,
) -> Choice:
    """Return the scaling with the smallest error under ``scheme``, if it is worth its cost."""
    matrix = np.concatenate(matrices, axis=1)
    columns = matrix[:, :: math.ceil(matrix.shape[1] / SAMPLE_COLUMNS)]
    plain = squared_error(stats.sample, columns, None, scheme)
    candidates = [
        (squared_error(stats.sample, columns, scaling, scheme), scaling)
        for scaling in scalings(linear_input, stats, matrix)
    ]
    # NOTE: a NaN counts as larger than any error.
    weighted = [
        (error / _max_error_ratio(scaling, linear_input, scheme), error, scaling)
        for error, scaling in candidates
        if error >= 0
    ]
    least, error, best = min(weighted, key=lambda candidate: candidate[0], default=(math.inf, math.inf, None))
    chosen, error = (best, error) if least < plain else (None, plain)
    return Choice(chosen, math.sqrt(error), math.sqrt(plain))


def _max_error_ratio(scaling: ChannelScaling, linear_input: LinearInput, scheme: QuantizationScheme) -> float:
    """Return the fraction of the squared error that may remain at most: 1 where the scaling costs no time."""
    if linear_input.norm is not None or not (scheme.scaling_needs_node or scaling.has_splits):
        return 1.0
    return MAX_ERROR_RATIO


def scalings(
    linear_input: LinearInput, stats: ActivationStats, matrix: NDArray[np.float32]
) -> Iterator[ChannelScaling]:
    """Yield the scalings to try: SmoothQuant with several alphas, and splits of what is largest with or without it."""
    # NOTE: without the floor, a channel that is silent in all calibration texts would be scaled up, and the first text
    # in which it is not would get its scale from that channel alone.
    floor = max(MIN_MAX, MIN_RELATIVE_MAX * float(np.median(stats.abs_max)))
    abs_max = np.maximum(stats.abs_max, floor)
    weight_max = np.abs(matrix).max(axis=1)
    unsplit = np.ones(linear_input.width, dtype=np.int64)
    for alpha in ALPHAS:
        yield ChannelScaling(unsplit, smoothquant(abs_max, weight_max, alpha), alpha)
    for split_alpha in SPLIT_ALPHAS if linear_input.producers else ():
        scales = unsplit.astype(np.float32)
        if split_alpha is not None:
            scales = smoothquant(abs_max, weight_max, split_alpha)
        splits = split_outliers(np.divide(abs_max, scales), added_channels(linear_input.width))
        yield ChannelScaling(splits, np.repeat(scales * splits.astype(np.float32), splits), split_alpha)


def smoothquant(abs_max: NDArray[np.float32], weight_max: NDArray[np.float32], alpha: float) -> NDArray[np.float32]:
    """Compute scales (width,) from the maxima of activations and weights, with a geometric mean of 1.

    Xiao et al. 2023, equation 4.
    """
    scales = abs_max.astype(np.float64) ** alpha / np.maximum(weight_max, MIN_MAX).astype(np.float64) ** (1 - alpha)
    return (scales / np.exp(np.log(scales).mean())).astype(np.float32)


def added_channels(width: int) -> int:
    """Return how many channels splitting adds to an activation."""
    return SPLIT_MULTIPLE * math.ceil(width / (CHANNELS_PER_SPLIT * SPLIT_MULTIPLE))


def split_outliers(abs_max: NDArray[np.float32], added: int) -> NDArray[np.int64]:
    """Distribute ``added`` channels so that the largest share of a maximum is as small as possible.

    Outlier channel splitting (Zhao et al. 2019) for activations: x w = n · (x / n) w, without a larger weight.
    """
    splits = np.ones(len(abs_max), dtype=np.int64)
    for _ in range(added):
        splits[np.argmax(abs_max / splits)] += 1
    return splits


def squared_error(
    sample: Sequence[NDArray[np.float32]],
    matrix: NDArray[np.float32],
    scaling: ChannelScaling | None,
    scheme: QuantizationScheme,
) -> float:
    """Measure the mean squared error of the products with 8-bit activations and weights, relative to their variance."""
    rows = np.concatenate(sample)
    exact = rows @ matrix
    variance = float(np.square(exact - exact.mean(axis=0)).sum(dtype=np.float64)) or 1.0
    if scaling is not None:
        sample, matrix = [scaling.activation(text) for text in sample], scaling.matrix(matrix)
    groups = scheme.groups(len(matrix))
    quantized = quantize_per_channel(matrix, groups)
    weights = quantized.values * expand_groups(quantized.scales, groups)
    errors = [float(np.square(each @ weights - exact).sum(dtype=np.float64)) for each in scheme.quantized(sample)]
    return sum(errors) / len(errors) / variance
