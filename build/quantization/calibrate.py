"""Calibrates the weights of an fp32 graph for int8 products: scales its activations, and applies GPTQ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto
from tqdm import tqdm

from build.graph.external_data import load_graph
from build.graph.index import GraphIndex
from build.quantization.calibrated import CalibratedWeights, ScaledInput
from build.quantization.gptq import gptq, gptq_factor
from build.quantization.linear_inputs import LinearInput, find_linear_inputs, is_matrix
from build.quantization.observer import observe
from build.quantization.record import BY_COLUMN, BY_ROW, WeightRecord, round_to_nearest_record
from build.quantization.rounding import QuantizedMatrix
from build.quantization.scheme import QuantizationScheme
from build.quantization.smoothing import Choice, choose, identity_scaling

TABLE_BYTES = 1_000_000
"""A smaller table of embeddings stays in fp32: there is nothing to gain."""

NAMELESS = "onnx::"
"""The exporter's names for weights that it has transposed begin with this."""

ERROR_DECIMALS = 6


def calibrate(
    graph: Path,
    work: Path,
    texts: Sequence[NDArray[Any]],
    scheme: QuantizationScheme,
    progress: bool,
    types: Sequence[NDArray[np.int64]] | None = None,
) -> CalibratedWeights:
    """Run the fp32 ``graph`` over ``texts``, choose a scaling for each input, quantize its matrices.

    ``texts``: token ids; for a graph that reads images, their pixels, (channels, side, side).
    ``types``: the type of each token of each text; None: all are 0.
    ``scheme`` is that of the kernels that will run the graph. The result depends on nothing but the arguments.
    Quantized matrices are written below ``work``.
    """
    index = GraphIndex(load_graph(graph), graph.parent)
    inputs = find_linear_inputs(index) if texts else []
    scaled: list[ScaledInput] = []
    quantized: dict[str, QuantizedMatrix] = {}
    records: list[WeightRecord] = []
    observed = observe(graph, inputs, texts, types)
    for linear_input, stats in tqdm(observed, desc="Calibrated", total=len(inputs), disable=not progress):
        matrices = [index.read(name) for name in linear_input.matrices]
        choice = choose(linear_input, stats, matrices, scheme)
        if choice.scaling is not None:
            scaled.append(ScaledInput(linear_input, choice.scaling))
        scaling = choice.scaling or identity_scaling(linear_input.width)
        factor = gptq_factor(scaling.hessian(stats.hessian))
        for name, matrix in zip(linear_input.matrices, matrices, strict=True):
            scaled_matrix = scaling.matrix(matrix)
            result = gptq(scaled_matrix, factor, scheme.groups(len(scaled_matrix)))
            quantized[name] = _on_disk(result, work / f"quantized-{len(quantized)}.npy")
        records += _records(linear_input, index, choice, "nearest" if factor is None else "gptq")
    tables = _tables(index)
    records += [_round_to_nearest(name, index, BY_COLUMN) for name in _multiplied(index) if name not in quantized]
    records += [_round_to_nearest(name, index, BY_ROW) for name in tables]
    return CalibratedWeights(tuple(scaled), quantized, tables, tuple(records))


def _on_disk(quantized: QuantizedMatrix, file: Path) -> QuantizedMatrix:
    """Return the same matrix with its values in a file: all matrices together may be larger than memory."""
    np.save(file, quantized.values)
    return QuantizedMatrix(np.load(file, mmap_mode="r"), quantized.scales)


def _tables(index: GraphIndex) -> tuple[str, ...]:
    """List the large matrices of which nothing but rows is read."""
    return tuple(
        name
        for name, tensor in index.initializers.items()
        if is_matrix(tensor)
        and 4 * tensor.dims[0] * tensor.dims[1] >= TABLE_BYTES
        and index.consumers(name)
        and all(_looks_up_rows(node, name) for node in index.consumers(name))
    )


def _looks_up_rows(node: NodeProto, table: str) -> bool:
    along_rows = all(entry.i == 0 for entry in node.attribute if entry.name == "axis")
    return node.op_type == "Gather" and along_rows and node.input[0] == table != node.input[1]


def _multiplied(index: GraphIndex) -> list[str]:
    """List the matrices whose products will be computed in integers."""
    products = [node for node in index.nodes if node.op_type == "MatMul"]
    matrices = dict.fromkeys(node.input[1] for node in products if node.input[1] in index.initializers)
    return [name for name in matrices if is_matrix(index.initializers[name])]


def _records(linear_input: LinearInput, index: GraphIndex, choice: Choice, rounding: str) -> list[WeightRecord]:
    scaling = choice.scaling
    return [
        WeightRecord(
            weight=_display_name(name, index),
            shape=tuple(index.initializers[name].dims),
            storage=BY_COLUMN,
            smoothing=scaling.alpha if scaling else None,
            repeated=scaling.added if scaling else 0,
            folded=scaling is not None and ScaledInput(linear_input, scaling).folded,
            rounding=rounding,
            error=round(choice.error, ERROR_DECIMALS) if math.isfinite(choice.error) else None,
        )
        for name in linear_input.matrices
    ]


def _round_to_nearest(name: str, index: GraphIndex, storage: str) -> WeightRecord:
    return round_to_nearest_record(_display_name(name, index), tuple(index.initializers[name].dims), storage)


def _display_name(name: str, index: GraphIndex) -> str:
    """Return a weight's name, or that of the product that reads it where the export gave it none."""
    if not name.startswith(NAMELESS):
        return name
    return index.consumers(name)[0].name.removesuffix("/MatMul").lstrip("/")
