"""Converts calibrated matrices to the native kernels' weights: int8 values, scales, smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from build.graph.index import GraphIndex
from build.native.encoder import Linear
from build.quantization.calibrated import CalibratedWeights
from build.quantization.groups import channel_groups
from build.quantization.rounding import QuantizedMatrix, quantize_per_channel
from build.quantization.smoothing import ChannelScaling


@dataclass(frozen=True)
class Product:
    """A quantized linear layer."""

    values: NDArray[np.int8]
    """The quantized weights, (in, out)."""

    scales: NDArray[np.float32]
    """One for each group of input channels and each output channel, (groups, out)."""

    bias: NDArray[np.float32]
    """What is added to the product, (out,)."""

    smooth: NDArray[np.float32] | None
    """What the input is multiplied by, (in,); None: the input is not scaled."""

    def with_split_outputs(self, splits: NDArray[np.int64] | None) -> Product:
        """Repeat each output channel as often as ``splits``, (out,), says; None changes nothing."""
        if splits is None:
            return self
        return replace(
            self,
            values=np.repeat(self.values, splits, axis=1),
            scales=np.repeat(self.scales, splits, axis=1),
            bias=np.repeat(self.bias, splits),
        )

    def split(self, columns: int) -> tuple[Product, Product]:
        """Return the product of the first output channels, and that of the others."""
        first, others = (
            replace(self, values=self.values[:, part], scales=self.scales[:, part], bias=self.bias[part])
            for part in (slice(columns), slice(columns, None))
        )
        return first, others


class NativeWeights:
    """The products of a graph's matrices, computed one at a time."""

    def __init__(self, graph: GraphIndex, calibrated: CalibratedWeights) -> None:
        self._graph, self._quantized = graph, calibrated.quantized
        self._scalings = {
            matrix: scaled.scaling for scaled in calibrated.scaled for matrix in scaled.linear_input.matrices
        }

    def joined(self, linears: Sequence[Linear]) -> Product:
        """Return the product of linear layers with the same input, side by side."""
        scaling = self._scalings.get(linears[0].matrix)
        if scaling is not None and scaling.has_splits:
            # NOTE: only hidden channels of a feed-forward block can be split, because the kernels compute them.
            return self._product(linears, [self._round_to_nearest(linear) for linear in linears], None)
        quantized = [self._quantized.get(linear.matrix) or self._round_to_nearest(linear) for linear in linears]
        return self._product(linears, quantized, scaling)

    def with_split_inputs(self, linear: Linear) -> tuple[Product, NDArray[np.int64] | None]:
        """Return the product, and how often each channel of its input is needed; None: once."""
        scaling = self._scalings.get(linear.matrix)
        if scaling is None or not scaling.has_splits:
            return self.joined((linear,)), None
        return self._product((linear,), [self._quantized[linear.matrix]], scaling), scaling.splits

    def _round_to_nearest(self, linear: Linear) -> QuantizedMatrix:
        matrix = self._graph.read(linear.matrix)
        return quantize_per_channel(matrix, channel_groups(len(matrix)))

    def _bias(self, linear: Linear, matrix: QuantizedMatrix) -> NDArray[np.float32]:
        if linear.bias is None:
            return np.zeros(matrix.values.shape[1], dtype=np.float32)
        return self._graph.read(linear.bias)

    def _product(
        self, linears: Sequence[Linear], quantized: Sequence[QuantizedMatrix], scaling: ChannelScaling | None
    ) -> Product:
        return Product(
            values=np.concatenate([matrix.values for matrix in quantized], axis=1),
            scales=np.concatenate([matrix.scales for matrix in quantized], axis=1),
            bias=np.concatenate(
                [self._bias(linear, matrix) for linear, matrix in zip(linears, quantized, strict=True)]
            ),
            smooth=None if scaling is None else np.float32(1) / scaling.scales,
        )
