"""Calibrates int8 weights by measured error: scaled activations, and GPTQ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto
from tqdm import tqdm

from build.graph.external_data import load_graph, tensor_bytes
from build.quantization.calibrated import CalibratedWeights, ScaledInput
from build.quantization.gptq import gptq, gptq_factor
from build.quantization.linear_inputs import LinearInput, find_linear_inputs, is_matrix
from build.quantization.observer import observe
from build.quantization.record import BY_COLUMN, BY_ROW, WeightRecord, round_to_nearest_record
from build.quantization.rounding import QuantizedMatrix
from build.quantization.scheme import QuantizationScheme
from build.quantization.smoothing import Choice, choose, identity_scaling

TABLE_BYTES = 1_000_000
"""A table of embeddings below this stays in fp32: it would gain nothing."""

NAMELESS = "onnx::"
"""What the exporter calls a weight that it has transposed begins with this."""

ERROR_DECIMALS = 6


def calibrate(
    graph: Path, work: Path, texts: Sequence[NDArray[np.int64]], scheme: QuantizationScheme, progress: bool
) -> CalibratedWeights:
    """Run the fp32 ``graph`` over ``texts`` (token ids), choose a scaling for each input, quantize its matrices.

    ``scheme``: that of the kernels that will run the graph. Deterministic: what is chosen depends on the graph and
    the texts, not on time. Rounded matrices lie below ``work``.
    """
    model = load_graph(graph)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    inputs = find_linear_inputs(model) if texts else []
    scaled: list[ScaledInput] = []
    rounded: dict[str, QuantizedMatrix] = {}
    treatments: list[WeightRecord] = []
    for one, stats in tqdm(observe(graph, inputs, texts), desc="Calibrated", total=len(inputs), disable=not progress):
        matrices = [_read(tensors[name], graph.parent) for name in one.matrices]
        choice = choose(one, stats, matrices, scheme)
        if choice.scaling is not None:
            scaled.append(ScaledInput(one, choice.scaling))
        scaling = choice.scaling or identity_scaling(one.width)
        factor = gptq_factor(scaling.hessian(stats.hessian))
        for name, matrix in zip(one.matrices, matrices, strict=True):
            scaled_matrix = scaling.matrix(matrix)
            quantized = gptq(scaled_matrix, factor, scheme.groups(len(scaled_matrix)))
            rounded[name] = _kept(quantized, work / f"rounded-{len(rounded)}.npy")
        treatments += _treatments(one, model, choice, "nearest" if factor is None else "gptq")
    tables = _tables(model)
    treatments += [_nearest(tensors[name], model, BY_COLUMN) for name in _multiplied(model) if name not in rounded]
    treatments += [_nearest(tensors[name], model, BY_ROW) for name in tables]
    return CalibratedWeights(tuple(scaled), rounded, tables, tuple(treatments))


def _kept(rounded: QuantizedMatrix, file: Path) -> QuantizedMatrix:
    """The same with its steps on disk: all matrices together may be larger than memory."""
    np.save(file, rounded.values)
    return QuantizedMatrix(np.load(file, mmap_mode="r"), rounded.scales)


def _read(tensor: TensorProto, directory: Path) -> NDArray[np.float32]:
    return tensor_bytes(tensor, directory).view(np.float32).reshape(tensor.dims)


def _tables(model: ModelProto) -> tuple[str, ...]:
    """Large matrices of which nothing but rows is read."""
    readers: dict[str, list[bool]] = {}
    for node in model.graph.node:
        by_row = node.op_type == "Gather" and all(entry.i == 0 for entry in node.attribute if entry.name == "axis")
        for place, name in enumerate(node.input):
            readers.setdefault(name, []).append(by_row and place == 0)
    return tuple(
        tensor.name
        for tensor in model.graph.initializer
        if is_matrix(tensor)
        and 4 * tensor.dims[0] * tensor.dims[1] >= TABLE_BYTES
        and all(readers.get(tensor.name, [False]))
    )


def _multiplied(model: ModelProto) -> list[str]:
    """Matrices whose products will be done in integers."""
    matrices = {tensor.name for tensor in model.graph.initializer if is_matrix(tensor)}
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    return list(dict.fromkeys(node.input[1] for node in products if node.input[1] in matrices))


def _treatments(one: LinearInput, model: ModelProto, choice: Choice, rounding: str) -> list[WeightRecord]:
    scaling = choice.scaling
    dims = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return [
        WeightRecord(
            weight=_shown(name, model),
            shape=dims[name],
            storage=BY_COLUMN,
            smoothing=scaling.alpha if scaling else None,
            repeated=scaling.added if scaling else 0,
            folded=scaling is not None and ScaledInput(one, scaling).folded,
            rounding=rounding,
            error=round(choice.error, ERROR_DECIMALS) if math.isfinite(choice.error) else None,
        )
        for name in one.matrices
    ]


def _nearest(tensor: TensorProto, model: ModelProto, storage: str) -> WeightRecord:
    return round_to_nearest_record(_shown(tensor.name, model), tuple(tensor.dims), storage)


def _shown(name: str, model: ModelProto) -> str:
    """A weight's name, or that of the product that reads it where the export gave it none."""
    if not name.startswith(NAMELESS):
        return name
    reader = next(node for node in model.graph.node if name in node.input)
    return reader.name.removesuffix("/MatMul").lstrip("/")
