"""Makes of prepared matrices what the native kernels multiply by: signed 8-bit steps, scales, smoothing."""

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
    """``steps`` int8 (in, out), ``scales`` (groups of in, out), ``bias`` (out,); inputs are multiplied by ``smooth``
    (in,) before.
    """

    steps: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.float32]
    smooth: NDArray[np.float32] | None

    def with_repeated_outputs(self, copies: NDArray[np.int64] | None) -> Product:
        """Each output channel as often as ``copies`` says, (out,)."""
        if copies is None:
            return self
        return replace(
            self,
            steps=np.repeat(self.steps, copies, axis=1),
            scales=np.repeat(self.scales, copies, axis=1),
            bias=np.repeat(self.bias, copies),
        )


class NativeWeights:
    """The products of a graph's matrices, made one at a time."""

    def __init__(self, parts: GraphIndex, prepared: CalibratedWeights) -> None:
        self._parts, self._rounded = parts, prepared.quantized
        self._scalings = {name: one.scaling for one in prepared.scaled for name in one.linear_input.matrices}

    def joined(self, linears: Sequence[Linear]) -> Product:
        """Products of the same input, side by side."""
        scaling = self._scalings.get(linears[0].matrix)
        if scaling is not None and scaling.has_splits:
            # NOTE: only what the kernels make themselves can be repeated: the hidden channels of a feed-forward block.
            return self._product(linears, [self._nearest(one) for one in linears], None)
        return self._product(linears, [self._rounded.get(one.matrix) or self._nearest(one) for one in linears], scaling)

    def with_repeated_inputs(self, linear: Linear) -> tuple[Product, NDArray[np.int64] | None]:
        """The product, and how often each channel of its input is to be there, if any is repeated."""
        scaling = self._scalings.get(linear.matrix)
        if scaling is None or not scaling.has_splits:
            return self.joined((linear,)), None
        return self._product((linear,), [self._rounded[linear.matrix]], scaling), scaling.splits

    def _nearest(self, linear: Linear) -> QuantizedMatrix:
        matrix = self._parts.read(linear.matrix)
        return quantize_per_channel(matrix, channel_groups(len(matrix)))

    def _product(
        self, linears: Sequence[Linear], rounded: Sequence[QuantizedMatrix], scaling: ChannelScaling | None
    ) -> Product:
        return Product(
            steps=np.concatenate([one.values for one in rounded], axis=1),
            scales=np.concatenate([one.scales for one in rounded], axis=1),
            bias=np.concatenate([self._parts.read(one.bias) for one in linears]),
            smooth=None if scaling is None else np.float32(1) / scaling.scales,
        )
