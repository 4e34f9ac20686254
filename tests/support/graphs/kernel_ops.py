"""One op of the native kernels as an onnxruntime session, and what it computes, in numpy with 64-bit floats."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
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
from build.native.packing import pack, sums
from build.quantization.groups import channel_groups
from manifest import Target
from runtime.host.cpu import host_target

DOMAIN, OP_SET = NATIVE_OPS.domain, NATIVE_OPS.version
EXACT_LEVELS, AVX2_LEVELS = 255, 127
SMALLEST_RANGE = 1e-35

Array = NDArray[Any]


def host_library() -> Path:
    """The kernels for this machine, compiled where sources have changed."""
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
    host_library()
    return open_library().cpu2vec_kernels_available().decode().split(",")


def levels(isa: str) -> int:
    return AVX2_LEVELS if isa == "avx2" else EXACT_LEVELS


def options(isa: str | None = None, threads: int = 1, path: Path | None = None, **entries: str) -> ort.SessionOptions:
    result = ort.SessionOptions()
    result.intra_op_num_threads = threads
    result.inter_op_num_threads = 1
    result.log_severity_level = 4
    result.add_session_config_entry("cpu2vec.threads", str(threads))
    if isa:
        result.add_session_config_entry("cpu2vec.isa", isa)
    for key, value in entries.items():
        result.add_session_config_entry(f"cpu2vec.{key}", value)
    result.register_custom_ops_library(str(path or library(host_target() or Target.AMD64)))
    return result


def graph(
    op: str,
    inputs: Mapping[str, Array | None],
    initializers: tuple[str, ...] = (),
    op_set: int = OP_SET,
    **attributes: object,
) -> onnx.ModelProto:
    """A graph of one node whose inputs, by name and in order, are fed or are ``initializers``; None is left out."""
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
    sets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, op_set)]
    return helper.make_model(
        helper.make_graph([node], "one", fed, outputs, constants), opset_imports=sets, ir_version=9
    )


FED = ("ids", "lengths", "x", "residual", "qkv")


class Op:
    """A session of one op: what is named in FED is given to ``run``, the rest is in the graph."""

    def __init__(
        self,
        op: str,
        inputs: Mapping[str, Array | None],
        isa: str | None = None,
        threads: int = 1,
        **attributes: object,
    ) -> None:
        initializers = tuple(name for name in inputs if name not in FED)
        model = graph(op, inputs, initializers, **attributes)
        self.inputs = {name: value for name, value in inputs.items() if name in FED and value is not None}
        self.session = ort.InferenceSession(
            model.SerializeToString(), options(isa, threads), providers=["CPUExecutionProvider"]
        )

    def run(self, **changed: Array) -> Array:
        return self.session.run(None, {**self.inputs, **changed})[0]


def run(
    op: str, inputs: Mapping[str, Array | None], isa: str | None = None, threads: int = 1, **attributes: object
) -> Array:
    return Op(op, inputs, isa, threads, **attributes).run()


@dataclass(frozen=True)
class Map:
    """A quantized linear map from k to n channels."""

    weight: NDArray[np.int8]  # (k, n)
    scale: NDArray[np.float32]  # (groups of k, n)
    bias: NDArray[np.float32]
    smooth: NDArray[np.float32] | None = None
    shift: NDArray[np.float32] | None = None

    def inputs(self, suffix: str = "") -> dict[str, Array | None]:
        values = {"weight": pack(self.weight), "scale": self.scale, "sums": sums(self.weight), "bias": self.bias}
        return {f"{name}{suffix}": value for name, value in values.items()}

    def before(self, suffix: str = "") -> dict[str, Array | None]:
        return {f"smooth{suffix}": self.smooth, f"shift{suffix}": self.shift}

    def of(self, x: Array, steps: int) -> Array:
        """x W + bias in float64, with x quantized group by group in each row to 0..steps as docs/kernels.md says."""
        x = x.astype(np.float32)
        if self.smooth is not None:
            x = x * self.smooth
        if self.shift is not None:
            x = x - self.shift
        sizes = channel_groups(len(self.weight))
        parts = np.split(x, np.cumsum(sizes)[:-1], axis=1)
        near = np.concatenate([_on_a_grid_of_its_own(part, steps) for part in parts], axis=1)
        return near @ (self.weight.astype(np.float64) * np.repeat(self.scale, sizes, axis=0)) + self.bias


def _on_a_grid_of_its_own(x: Array, steps: int) -> Array:
    """Each row."""
    low = x.min(axis=1, keepdims=True)
    span = x.max(axis=1, keepdims=True) - low
    step = span / np.float32(steps)
    inverse = np.divide(np.float32(steps), span, where=span > SMALLEST_RANGE, out=0 * span)
    q = np.rint((x - low).astype(np.float64) * inverse)
    return q * step.astype(np.float64) + low


def random_map(rng: np.random.Generator, k: int, n: int, smooth: bool = False, shift: bool = False) -> Map:
    return Map(
        rng.integers(-127, 128, (k, n), dtype=np.int8),
        (rng.uniform(0.5, 1.5, (len(channel_groups(k)), n)) / (127 * math.sqrt(k))).astype(np.float32),
        rng.normal(size=n).astype(np.float32),
        rng.uniform(0.5, 2, k).astype(np.float32) if smooth else None,
        rng.normal(size=k).astype(np.float32) if shift else None,
    )


def erf(x: Array) -> Array:
    return np.vectorize(math.erf)(x) if x.size else x


ACTIVATIONS = {
    "none": lambda x: x,
    "gelu": lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def layer_norm(x: Array, gamma: Array, beta: Array, epsilon: float) -> Array:
    x = x.astype(np.float64)
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon) * gamma + beta


def rounded_rows(x: Array) -> Array:
    """Queries or keys in 127 steps to either side of zero, a grid for each row.

    Grids are computed in fp32 and in the kernels' order: halfway between two steps, the last bit decides.
    """
    x = x.astype(np.float32)
    step = np.abs(x).max(axis=-1, keepdims=True) * np.float32(1 / 127)
    inverse = np.divide(np.float32(1), step, where=step > 0, out=np.zeros_like(step))
    return np.rint(x * inverse) * step.astype(np.float64)


def rounded_columns(x: Array) -> Array:
    """Values in 255 steps to either side of zero, a grid for each column; see ``rounded_rows``."""
    x = x.astype(np.float32)
    largest = np.abs(x).max(axis=-2, keepdims=True)
    inverse = np.divide(np.float32(255), largest, where=largest > 0, out=np.zeros_like(largest))
    return np.rint(x * inverse) * (largest * np.float32(1 / 255)).astype(np.float64)


INTEGERS_FROM = 17
"""Tokens of a text from which on the instruction sets of WITH_INTEGERS round queries, keys and values."""

WITH_INTEGERS = ("amx", "avx512vnni", "avxvnni")


def attention(
    qkv: Array, lengths: list[int], heads: int, scale: float, bias: Array | None = None, isa: str = "scalar"
) -> Array:
    """Full attention per text in float64; ``bias`` (heads, 2 M - 1) by the key's distance, clipped to its ends."""
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
        if length:
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)
            out[start : start + length] = (weights @ value).transpose(1, 0, 2).reshape(length, -1)
        start += length
    return out
