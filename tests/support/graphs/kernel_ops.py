"""Each op of the native kernels as an onnxruntime session, and in numpy with 64-bit floats."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from build.kernels import ensure, library
from build.native.encoder import NATIVE_OPS
from build.native.packing import group_sums, pack
from build.quantization.groups import channel_groups
from manifest import Target
from runtime.host.cpu import host_target

DOMAIN, OP_SET = NATIVE_OPS.domain, NATIVE_OPS.version
LEVELS = 255
"""The highest quantized activation."""
SMALLEST_RANGE = 1e-35

Array = NDArray[Any]


def host_library() -> Path:
    """Compile the kernels for this machine if their sources have changed, and return the library's path."""
    target = host_target()
    assert target is not None
    return ensure(target)


def open_library() -> ctypes.CDLL:
    target = host_target()
    assert target is not None
    kernels = ctypes.CDLL(str(library(target)))
    kernels.cpu2vec_kernels_isa.restype = kernels.cpu2vec_kernels_available.restype = ctypes.c_char_p
    return kernels


def available() -> list[str]:
    """Return the instruction sets that this machine can use, best first."""
    host_library()
    names: str = open_library().cpu2vec_kernels_available().decode()
    return names.split(",")


def options(isa: str | None = None, threads: int = 1, path: Path | None = None, **entries: str) -> ort.SessionOptions:
    result = ort.SessionOptions()
    result.intra_op_num_threads = threads
    result.inter_op_num_threads = 1
    result.log_severity_level = 4
    result.add_session_config_entry("session.intra_op.allow_spinning", "0")  # PERF: most sessions run once.
    result.add_session_config_entry("cpu2vec.threads", str(threads))
    if isa:
        result.add_session_config_entry("cpu2vec.isa", isa)
    for key, value in entries.items():
        result.add_session_config_entry(f"cpu2vec.{key}", value)
    result.register_custom_ops_library(str(path or library(host_target() or Target.AMD64)))
    return result


def graph(
    op: str, inputs: Mapping[str, Array | None], initializers: tuple[str, ...] = (), **attributes: Any
) -> onnx.ModelProto:
    """Return a graph of one node whose inputs, in order, are ``initializers`` or fed; None is left out."""
    names = [name if value is not None else "" for name, value in inputs.items()]
    while not names[-1]:
        names.pop()
    given = {name: value for name, value in inputs.items() if value is not None}
    node = helper.make_node(op, names, ["y"], name="tested", domain=DOMAIN, **attributes)
    fed = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim)
        for name, value in given.items()
        if name not in initializers
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in given.items() if name in initializers]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    op_sets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, OP_SET)]
    return helper.make_model(
        helper.make_graph([node], "one", fed, outputs, constants), opset_imports=op_sets, ir_version=9
    )


FED = ("ids", "lengths", "x", "residual", "qkv", "query", "rows", "pooled")


class Op:
    """A session of one op: the inputs of FED are fed by ``run``, and all others are initializers."""

    def __init__(
        self,
        op: str,
        inputs: Mapping[str, Array | None],
        isa: str | None = None,
        threads: int = 1,
        **attributes: Any,
    ) -> None:
        initializers = tuple(name for name in inputs if name not in FED)
        model = graph(op, inputs, initializers, **attributes)
        self.inputs = {name: value for name, value in inputs.items() if name in FED and value is not None}
        self.session = ort.InferenceSession(
            model.SerializeToString(), options(isa, threads), providers=["CPUExecutionProvider"]
        )

    def run(self, **changed: Array) -> Array:
        output: Array = self.session.run(None, {**self.inputs, **changed})[0]
        return output


def run(
    op: str, inputs: Mapping[str, Array | None], isa: str | None = None, threads: int = 1, **attributes: Any
) -> Array:
    return Op(op, inputs, isa, threads, **attributes).run()


@dataclass(frozen=True)
class LinearMap:
    """A quantized linear map from k to n channels."""

    weight: NDArray[np.int8]
    """The quantized weights, (k, n)."""

    scale: NDArray[np.float32]
    """The weights' scales, (groups of k, n)."""

    bias: NDArray[np.float32]
    smooth: NDArray[np.float32] | None = None
    shift: NDArray[np.float32] | None = None

    def inputs(self, suffix: str = "") -> dict[str, Array]:
        """Return the op's inputs for the weights, by name."""
        return {
            f"weight{suffix}": pack(self.weight),
            f"scale{suffix}": self.scale,
            f"sums{suffix}": group_sums(self.weight),
            f"bias{suffix}": self.bias,
        }

    def scaling_inputs(self, suffix: str = "") -> dict[str, Array | None]:
        """Return the op's inputs that are applied to activations, by name."""
        return {f"smooth{suffix}": self.smooth, f"shift{suffix}": self.shift}

    def apply(self, x: Array) -> Array:
        """Compute x W + bias in float64, with x quantized to 0..LEVELS group by group, as docs/kernels.md says."""
        x = x.astype(np.float32)
        if self.smooth is not None:
            x = x * self.smooth
        if self.shift is not None:
            x = x - self.shift
        sizes = channel_groups(len(self.weight))
        parts = np.split(x, np.cumsum(sizes)[:-1], axis=1)
        quantized = np.concatenate([_quantized(part) for part in parts], axis=1)
        product: Array = quantized @ (self.weight.astype(np.float64) * np.repeat(self.scale, sizes, axis=0)) + self.bias
        return product


def _quantized(x: Array) -> Array:
    """Round each row to a grid from its lowest to its highest value."""
    low = x.min(axis=1, keepdims=True)
    span = x.max(axis=1, keepdims=True) - low
    step = span / np.float32(LEVELS)
    inverse = np.divide(np.float32(LEVELS), span, where=span > SMALLEST_RANGE, out=0 * span)
    q: Array = np.rint((x - low).astype(np.float64) * inverse)
    return q * step.astype(np.float64) + low


def random_linear_map(rng: np.random.Generator, k: int, n: int, smooth: bool = False, shift: bool = False) -> LinearMap:
    return LinearMap(
        rng.integers(-127, 128, (k, n), dtype=np.int8),
        (rng.uniform(0.5, 1.5, (len(channel_groups(k)), n)) / (127 * math.sqrt(k))).astype(np.float32),
        rng.normal(size=n).astype(np.float32),
        rng.uniform(0.5, 2, k).astype(np.float32) if smooth else None,
        rng.normal(size=k).astype(np.float32) if shift else None,
    )


def erf(x: Array) -> Array:
    return np.vectorize(math.erf)(x) if x.size else x


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "none": lambda x: x,
    "gelu": lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "quick_gelu": lambda x: x / (1 + np.exp(-1.702 * x)),
}


def layer_norm(x: Array, gamma: Array, beta: Array, epsilon: float) -> Array:
    x = x.astype(np.float64)
    centered = x - x.mean(axis=-1, keepdims=True)
    normalized: Array = centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + epsilon)
    return normalized * gamma + beta


def rounded_rows(x: Array) -> Array:
    """Round queries or keys to 127 steps to either side of zero, with a grid for each row.

    Grids are computed in fp32 and in the kernels' order: halfway between two steps, the last bit decides.
    """
    x = x.astype(np.float32)
    step = np.abs(x).max(axis=-1, keepdims=True) * np.float32(1 / 127)
    inverse = np.divide(np.float32(1), step, where=step > 0, out=np.zeros_like(step))
    rounded: Array = np.rint(x * inverse)
    return rounded * step.astype(np.float64)


def rounded_columns(x: Array) -> Array:
    """Round values to 255 steps to either side of zero, with a grid for each column; see ``rounded_rows``."""
    x = x.astype(np.float32)
    largest = np.abs(x).max(axis=-2, keepdims=True)
    inverse = np.divide(np.float32(255), largest, where=largest > 0, out=np.zeros_like(largest))
    rounded: Array = np.rint(x * inverse)
    return rounded * (largest * np.float32(1 / 255)).astype(np.float64)


INTEGERS_FROM = 17
"""From this many tokens on, the instruction sets of WITH_INTEGERS round queries, keys and values."""

WITH_INTEGERS = ("amx", "avx512vnni", "avxvnni")


def attention(
    qkv: Array,
    lengths: list[int],
    heads: int,
    scale: float,
    bias: Array | None = None,
    isa: str = "scalar",
    mask: str = "none",
) -> Array:
    """Compute the attention of each text in float64: full, or with the ``mask`` "causal" to no later token.

    ``bias``: (heads, 2 M - 1), by the key's distance from the query, clipped to its ends.
    """
    width = qkv.shape[1] // (3 * heads)
    out, start = np.zeros((len(qkv), heads * width)), 0
    for length in lengths:
        rows = qkv[start : start + length].reshape(length, 3, heads, width)
        query, key, value = rows.transpose(1, 2, 0, 3)
        if isa in WITH_INTEGERS and length >= INTEGERS_FROM:
            query, key, value = rounded_rows(query), rounded_rows(key), rounded_columns(value)
        query, key, value = (part.astype(np.float64) for part in (query, key, value))
        scores = query @ key.transpose(0, 2, 1) * scale
        if bias is not None and length:
            reach = (bias.shape[1] + 1) // 2
            distance = np.arange(length)[None, :] - np.arange(length)[:, None]
            scores += bias[:, np.clip(distance, 1 - reach, reach - 1) + reach - 1]
        if mask == "causal":
            scores += np.triu(np.full((length, length), -np.inf), 1)
        if length:
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)
            out[start : start + length] = (weights @ value).transpose(1, 0, 2).reshape(length, -1)
        start += length
    return out
