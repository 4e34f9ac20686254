"""Chooses how the channels of an activation are scaled before they are rounded, by the error that is left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from build.quantization.linear_inputs import LinearInput
from build.quantization.observer import Activations
from build.quantization.rounding import expand_groups, quantize_per_channel
from build.quantization.scheme import ProductRounding

ALPHAS = (0.35, 0.5, 0.65, 0.8, 0.9)
ALPHAS_OF_REPEATED = (None, 0.35, 0.5, 0.65)
"""Of inputs whose largest channels are repeated as well. None: they are not smoothed."""

REPEATED_PART = 96
"""One channel in this many may be repeated; always as many as make a multiple of ``REPEATED_MULTIPLE``."""

REPEATED_MULTIPLE = 16
"""Kernels work on so many columns at once: fewer cost as much."""

WORTH_ITS_TIME = 0.8
"""A product with a factor per channel takes time at each run, and so do more channels: they must leave at most this
part of the squared error."""

QUIET = 0.01
"""Of the median of all channels' largest values: what is smaller is taken for as large."""

COLUMNS_TRIED = 512
"""Errors are measured in so many columns of a matrix, spread evenly: each has over a thousand products already."""

SMALLEST = 1e-5


@dataclass(frozen=True)
class Scaling:
    """Channel c of an activation is repeated ``copies[c]`` times, (width,); what results is divided by ``divisors``,
    (sum of copies,). Matrices get the rows that make up for it. ``alpha``: SmoothQuant's, None for other divisors."""

    copies: NDArray[np.int64]
    divisors: NDArray[np.float32]
    alpha: float | None

    @property
    def extra(self) -> int:
        """How many channels there are more than before."""
        return len(self.divisors) - len(self.copies)

    @property
    def repeats(self) -> bool:
        return self.extra > 0

    def activation(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(…, width) to (…, sum of copies)."""
        return np.repeat(rows, self.copies, axis=-1) / self.divisors

    def matrix(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """(width, columns) to (sum of copies, columns): the product with the scaled activation stays what it was."""
        factors = self.divisors / np.repeat(self.copies, self.copies).astype(np.float32)
        return np.repeat(matrix, self.copies, axis=0) * factors[:, np.newaxis]

    def moments(self, moments: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of x xᵀ of the scaled activation."""
        channels = np.repeat(np.arange(len(self.copies)), self.copies)
        return moments[np.ix_(channels, channels)] / np.outer(self.divisors, self.divisors)


def unscaled(width: int) -> Scaling:
    """Every channel as it is."""
    return Scaling(np.ones(width, dtype=np.int64), np.ones(width, dtype=np.float32), None)


@dataclass(frozen=True)
class Choice:
    """``scaling`` None: channels stay as they are. Errors are relative, root mean square."""

    scaling: Scaling | None
    error: float
    plain_error: float


def choose(
    linear_input: LinearInput,
    activations: Activations,
    matrices: Sequence[NDArray[np.float32]],
    rounding: ProductRounding,
) -> Choice:
    """The scaling with the smallest error under ``rounding``, if it is worth what it costs."""
    matrix = np.concatenate(matrices, axis=1)
    some = matrix[:, :: math.ceil(matrix.shape[1] / COLUMNS_TRIED)]
    plain = squared_error(activations.sample, some, None, rounding)
    tried = [
        (squared_error(activations.sample, some, one, rounding), one)
        for one in scalings(linear_input, activations, matrix)
    ]
    # NOTE: an error that is not a number is larger than any.
    weighed = [(error / _worth(one, linear_input, rounding), error, one) for error, one in tried if error >= 0]
    least, error, best = min(weighed, key=lambda each: each[0], default=(math.inf, math.inf, None))
    chosen, error = (best, error) if least < plain else (None, plain)
    return Choice(chosen, math.sqrt(error), math.sqrt(plain))


def _worth(scaling: Scaling, linear_input: LinearInput, rounding: ProductRounding) -> float:
    """Which part of the squared error it must leave at most: 1 where it costs nothing at run time."""
    if linear_input.norm is not None or not (rounding.scaling_is_a_node or scaling.repeats):
        return 1.0
    return WORTH_ITS_TIME


def scalings(linear_input: LinearInput, activations: Activations, matrix: NDArray[np.float32]) -> Iterator[Scaling]:
    """What can be done to an input: SmoothQuant with several alphas; repeating what is largest then, or without it."""
    # NOTE: a channel that no calibration text wakes would be scaled up, and one day rule the scale of a whole text.
    largest = np.maximum(activations.largest, max(SMALLEST, QUIET * float(np.median(activations.largest))))
    weights = np.abs(matrix).max(axis=1)
    ones = np.ones(linear_input.width, dtype=np.int64)
    for alpha in ALPHAS:
        yield Scaling(ones, smoothquant(largest, weights, alpha), alpha)
    for repeated_alpha in ALPHAS_OF_REPEATED if linear_input.origin else ():
        divisors = ones.astype(np.float32)
        if repeated_alpha is not None:
            divisors = smoothquant(largest, weights, repeated_alpha)
        copies = repetitions(largest / divisors, extra_channels(linear_input.width))
        yield Scaling(copies, np.repeat(divisors * copies.astype(np.float32), copies), repeated_alpha)


def smoothquant(largest: NDArray[np.float32], weights: NDArray[np.float32], alpha: float) -> NDArray[np.float32]:
    """Divisors (width,) from the largest values of activations and weights, with a geometric mean of 1.

    Xiao et al. 2023, equation 4.
    """
    divisors = largest.astype(np.float64) ** alpha / np.maximum(weights, SMALLEST).astype(np.float64) ** (1 - alpha)
    return (divisors / np.exp(np.log(divisors).mean())).astype(np.float32)


def extra_channels(width: int) -> int:
    """How many channels may be added by repeating."""
    return REPEATED_MULTIPLE * math.ceil(width / (REPEATED_PART * REPEATED_MULTIPLE))


def repetitions(largest: NDArray[np.float32], extra: int) -> NDArray[np.int64]:
    """Copies of each channel, ``extra`` more than channels, so that the largest share of a value is as small as can be.

    Zhao et al. 2019 («outlier channel splitting») for activations: x w = n · (x / n) w, without a larger weight.
    """
    copies = np.ones(len(largest), dtype=np.int64)
    for _ in range(extra):
        copies[np.argmax(largest / copies)] += 1
    return copies


def squared_error(
    sample: Sequence[NDArray[np.float32]],
    matrix: NDArray[np.float32],
    scaling: Scaling | None,
    rounding: ProductRounding,
) -> float:
    """Mean squared error of the products, relative to their variance; activations and weights in 8 bits."""
    rows = np.concatenate(sample)
    exact = rows @ matrix
    variance = float(np.square(exact - exact.mean(axis=0)).sum(dtype=np.float64)) or 1.0
    if scaling is not None:
        sample, matrix = [scaling.activation(text) for text in sample], scaling.matrix(matrix)
    groups = rounding.groups(len(matrix))
    rounded = quantize_per_channel(matrix, groups)
    weights = rounded.values * expand_groups(rounded.scales, groups)
    errors = [float(np.square(given @ weights - exact).sum(dtype=np.float64)) for given in rounding.of(sample)]
    return sum(errors) / len(errors) / variance
