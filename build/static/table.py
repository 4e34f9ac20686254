"""Reads a static model's table, and writes it into a bundle in a precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from build.errors import ModelNotFound, UnsupportedModel
from build.model.files import WEIGHTS
from build.static.describe import StaticDescription
from manifest import Precision, Reading

Array = NDArray[Any]

TABLE, SCALES, WEIGHTS_OF_TOKENS, MAPPING = "table.npy", "scales.npy", "weights.npy", "mapping.npy"
"""The files of a bundle."""

LEVELS = 127
"""Whole numbers of 8 bits reach so far in both directions."""


@dataclass(frozen=True)
class StaticTable:
    """The arrays of a static model, of which all but the rows may be missing."""

    rows: Array
    """(rows, width)"""
    scales: Array | None
    """(rows,)"""
    weights: Array | None
    """(tokens,)"""
    mapping: Array | None
    """(tokens,)"""

    @property
    def files(self) -> Mapping[str, Array]:
        """The arrays that there are, by the names of their files."""
        arrays = {TABLE: self.rows, SCALES: self.scales, WEIGHTS_OF_TOKENS: self.weights, MAPPING: self.mapping}
        return {name: array for name, array in arrays.items() if array is not None}

    def write(self, bundle: Path) -> None:
        """Write the arrays in numpy's own format, which can be mapped, and pickles nothing."""
        for name, array in self.files.items():
            np.save(bundle / name, np.ascontiguousarray(array), allow_pickle=False)


def read_table(description: StaticDescription) -> StaticTable:
    """Read the arrays as the model's files have them.

    Raises ``ModelNotFound`` for a damaged file, and ``UnsupportedModel`` for arrays that cannot belong together.
    """
    file, layout = description.weights_file, description.layout
    try:
        with safe_open(file, framework="numpy") as tensors:
            names = set(tensors.keys())
            # NOTE: sentence-transformers knows neither weights nor mappings.
            others = names & {"weights", "mapping"} if layout.reading is Reading.MODEL2VEC else set()
            others_by_name = {name: tensors.get_tensor(name) for name in sorted(others)}
        table = StaticTable(_rows(description), None, others_by_name.get("weights"), others_by_name.get("mapping"))
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise ModelNotFound(f"{WEIGHTS} cannot be read: {error}") from error
    _check(table, description)
    return table


def in_precision(table: StaticTable, precision: Precision) -> StaticTable:
    """The table with rows in fp32 or in 8 bits with a scale each, or as they are."""
    if precision is Precision.FP32:
        return StaticTable(table.rows.astype(np.float32), None, table.weights, table.mapping)
    if precision is Precision.INT8 and table.rows.dtype != np.int8:
        rows, scales = _quantize(table.rows)
        return StaticTable(rows, scales, table.weights, table.mapping)
    return table


def _quantize(rows: Array) -> tuple[Array, Array]:
    """Whole numbers of 8 bits (rows, width), and the factors (rows,) that turn them back into rows."""
    largest = np.abs(rows).max(axis=1).astype(np.float32)
    scales = np.where(largest > 0, largest / np.float32(LEVELS), np.float32(1)).astype(np.float32)
    quantized = np.empty(rows.shape, dtype=np.int8)
    for start in range(0, len(rows), 4096):  # PERF: a large table in fp32 need not be in memory twice.
        part = slice(start, start + 4096)
        quantized[part] = np.rint(rows[part].astype(np.float32) / scales[part, None])
    return quantized, scales


def _rows(description: StaticDescription) -> Array:
    layout = description.layout
    with safe_open(description.weights_file, framework="pt") as tensors:
        kind = tensors.get_slice(layout.tensor).get_dtype()
        if kind == "BF16" and layout.reading is Reading.SENTENCE_TRANSFORMERS:
            # NOTE: numpy has no bfloat16; in fp32 the numbers are the same.
            wide: Array = tensors.get_tensor(layout.tensor).float().numpy()
            return wide
    known = ("F64", "F32", "F16", "I8") if layout.reading is Reading.MODEL2VEC else ("F64", "F32", "F16")
    if kind not in known:
        raise UnsupportedModel(f"{WEIGHTS}: {layout.tensor} must be one of {', '.join(known)}, not {kind}")
    with safe_open(description.weights_file, framework="numpy") as tensors:
        rows: Array = tensors.get_tensor(layout.tensor)
    return rows


def _check(table: StaticTable, description: StaticDescription) -> None:
    """Raises ``UnsupportedModel`` for what the original could not use for every token."""
    vocabulary = description.tokenizer.get_vocab()
    padding = description.padding
    tokens = max([-1 if padding is None else padding.token, *vocabulary.values()]) + 1
    rows, mapping, weights = table.rows, table.mapping, table.weights
    if mapping is None and description.layout.reading is Reading.MODEL2VEC and len(rows) != len(vocabulary):
        raise UnsupportedModel(f"{WEIGHTS} has {len(rows)} rows, and the tokenizer {len(vocabulary)} tokens")
    if mapping is None and len(rows) < tokens:
        raise UnsupportedModel(f"{WEIGHTS} has {len(rows)} rows, and the tokenizer the id {tokens - 1}")
    for name, array in (("mapping", mapping), ("weights", weights)):
        if array is not None and (array.ndim != 1 or len(array) < tokens):
            raise UnsupportedModel(f"{WEIGHTS}: {name} must have a number for each of {tokens} tokens")
    if mapping is not None and not (mapping.dtype.kind in "iu" and 0 <= mapping.min() <= mapping.max() < len(rows)):
        raise UnsupportedModel(f"{WEIGHTS}: mapping must hold the numbers of rows, from 0 to {len(rows) - 1}")
    if not all(np.isfinite(array).all() for array in (rows, weights) if array is not None):
        raise UnsupportedModel(f"{WEIGHTS} has numbers that are not finite")
