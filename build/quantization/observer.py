"""Observes the activations of an fp32 graph while it runs over the calibration texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build.errors import UnsupportedModel
from build.graph.external_data import load_graph
from build.graph.index import ancestors, cut_at
from build.graph.session import open_temporary
from build.host.malloc import release_free_memory
from build.quantization.linear_inputs import LinearInput

OBSERVED = "observed.onnx"

SAMPLE_TOKENS = 1500
"""The activations of the first texts, until they have this many tokens, are kept for the smoothing search."""

CHUNK_TOKENS = 1024
"""Products of activations are summed over chunks of at least this many tokens."""

STATS_FRACTION, STATS_BYTES = 0.5, 500_000_000
"""Statistics of one run over the texts take at most this fraction of the weights' memory, or this many bytes if more.

Each run takes time, and there is no point in using less memory than the export did. What a run keeps for the next one
to begin with is a few percent of that.
"""

TOKEN_TYPES = "token_type_ids"

INPUTS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "input_ids": lambda ids: ids,
    "attention_mask": np.ones_like,
    TOKEN_TYPES: np.zeros_like,
    "position_ids": lambda ids: np.arange(len(ids), dtype=np.int64),
    "pixel_values": lambda pixels: pixels,
}
"""Each computes one of a graph's inputs from the token ids of a text, or from the pixels of an image."""


@dataclass(frozen=True)
class ActivationStats:
    """What is known about one linear input after a run over the texts."""

    sample: tuple[NDArray[np.float32], ...]
    """The activations of each of the first texts, (tokens, width)."""

    abs_max: NDArray[np.float32]
    """The largest absolute value of each channel over all texts, (width,)."""

    hessian: NDArray[np.float64]
    """E[x xᵀ] over the tokens of all texts, (width, width)."""


def observe(
    graph: Path,
    inputs: Sequence[LinearInput],
    texts: Sequence[NDArray[Any]],
    types: Sequence[NDArray[np.int64]] | None = None,
) -> Iterator[tuple[LinearInput, ActivationStats]]:
    """Yield each input with its statistics, observing as many at a time as memory allows.

    ``texts`` are token ids, or pixels of images, and ``types`` the tokens' types; None: all are 0. Raises
    ``UnsupportedModel`` for a graph with an input that is not one of ``INPUTS``.
    """
    limit = max(STATS_BYTES, int(STATS_FRACTION * _weight_bytes(graph)))
    batches = list(_batches(inputs, limit))
    known: Mapping[str, Sequence[NDArray[np.float32]]] = {}
    for batch, following in zip(batches, [*batches[1:], []], strict=False):
        names = [linear_input.name for linear_input in batch]
        kept = _start_of(graph, [linear_input.name for linear_input in following], names)
        observers = [_Observer(linear_input.width) for linear_input in batch]
        values: dict[str, list[NDArray[np.float32]]] = {name: [] for name in kept}
        for outputs in _run(graph, names, texts, types, known):
            for observer, rows in zip(observers, outputs, strict=True):
                observer.add(rows.reshape(-1, rows.shape[-1]))
            for name in kept:
                values[name].append(outputs[names.index(name)])
        known = values
        release_free_memory()
        while observers:
            yield batch[-len(observers)], observers.pop(0).finish()


def _start_of(graph: Path, names: Sequence[str], observed: Sequence[str]) -> list[str]:
    """The one of the values ``observed`` from which the fewest nodes lead to ``names``; none where none saves a node.

    PERF: in models whose layers read nothing but the output of the layer before, a run then begins with that.
    """
    nodes = load_graph(graph).graph.node
    counts = {name: len(ancestors(nodes, names, [name])) for name in observed}
    least = min(observed, key=lambda name: counts[name])
    return [least] if counts[least] < len(ancestors(nodes, names)) else []


def _run(
    graph: Path,
    names: Sequence[str],
    texts: Sequence[NDArray[Any]],
    types: Sequence[NDArray[np.int64]] | None,
    known: Mapping[str, Sequence[NDArray[np.float32]]],
) -> Iterator[list[NDArray[np.float32]]]:
    """Yield the values ``names`` for each text. ``known``: values of each text from which they can be computed."""
    model = load_graph(graph)
    # PERF: the layers after those that are observed are most of the work, and then those before.
    cut_at(model.graph, names, known)
    inputs = [value.name for value in model.graph.input if value.name not in known]
    if unknown := sorted(set(inputs) - set(INPUTS)):
        raise UnsupportedModel(f"the graph has an input that this build cannot provide: {unknown[0]}")
    needed = {value.name for value in model.graph.input}.intersection(known)
    session = open_temporary(model, graph.with_name(OBSERVED))
    del model
    for index, ids in enumerate(texts):
        feed = {name: INPUTS[name](ids)[np.newaxis] for name in inputs}
        if types is not None and TOKEN_TYPES in feed:
            feed[TOKEN_TYPES] = types[index][np.newaxis]
        yield session.run(list(names), feed | {name: known[name][index] for name in needed})


class _Observer:
    """Collects the statistics of one activation, text by text."""

    def __init__(self, width: int) -> None:
        self._sample: list[NDArray[np.float32]] = []
        self._sampled = self._tokens = self._pending_tokens = 0
        self._pending: list[NDArray[np.float32]] = []
        self._abs_max = np.zeros(width, dtype=np.float32)
        self._sum = np.zeros((width, width), dtype=np.float32)

    def add(self, rows: NDArray[np.float32]) -> None:
        if self._sampled < SAMPLE_TOKENS:
            self._sample.append(rows)
            self._sampled += len(rows)
        np.maximum(self._abs_max, np.abs(rows).max(axis=0), out=self._abs_max)
        self._pending.append(rows)
        self._pending_tokens += len(rows)
        if self._pending_tokens >= CHUNK_TOKENS:
            self._sum_pending()

    def finish(self) -> ActivationStats:
        self._sum_pending()
        return ActivationStats(tuple(self._sample), self._abs_max, self._sum / np.float64(max(1, self._tokens)))

    def _sum_pending(self) -> None:
        if self._pending:
            rows = np.concatenate(self._pending)
            self._sum += rows.T @ rows
            self._tokens += len(rows)
            self._pending, self._pending_tokens = [], 0


def _weight_bytes(graph: Path) -> int:
    return sum(4 * math.prod(tensor.dims) for tensor in load_graph(graph).graph.initializer)


def _batches(inputs: Sequence[LinearInput], limit: int) -> Iterator[list[LinearInput]]:
    """Yield consecutive inputs whose statistics together take at most ``limit`` bytes, or one that takes more."""
    batch: list[LinearInput] = []
    taken = 0
    for linear_input in inputs:
        size = 4 * linear_input.width**2 + 4 * linear_input.width * (SAMPLE_TOKENS + 2 * CHUNK_TOKENS)
        if batch and taken + size > limit:
            yield batch
            batch, taken = [], 0
        batch.append(linear_input)
        taken += size
    if batch:
        yield batch
