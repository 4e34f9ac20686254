"""Observes activations of an fp32 graph while it runs over the calibration texts."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # NOTE: else the wheel writes an id and a database below $HOME.
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper

from build.errors import UnsupportedModel
from build.graph.external_data import load_graph
from build.host.malloc import release_free_memory
from build.quantization.linear_inputs import LinearInput

OBSERVED = "observed.onnx"
SAMPLE_TOKENS = 1500
"""Whose activations are kept as they are, to try scales on."""

CHUNK_TOKENS = 1024
PART_AT_ONCE, BYTES_AT_ONCE = 0.5, 500_000_000
"""In one run over the texts, statistics may take this fraction of the weights' memory, or so many bytes if
that is more: each run takes time, and there is no point in using less memory than the export did."""

INPUTS: dict[str, Callable[[NDArray[np.int64]], NDArray[np.int64]]] = {
    "input_ids": lambda ids: ids,
    "attention_mask": np.ones_like,
    "token_type_ids": np.zeros_like,
    "position_ids": lambda ids: np.arange(len(ids), dtype=np.int64),
}
"""What a graph may want, from the ids of one text."""


@dataclass(frozen=True)
class ActivationStats:
    """Of one linear input: (tokens, width) of each of the first texts, and over all texts the largest absolute value
    of each channel, (width,), and the mean of x xᵀ, (width, width)."""

    sample: tuple[NDArray[np.float32], ...]
    abs_max: NDArray[np.float32]
    hessian: NDArray[np.float64]


def observe(
    graph: Path, inputs: Sequence[LinearInput], texts: Sequence[NDArray[np.int64]]
) -> Iterator[tuple[LinearInput, ActivationStats]]:
    """Each input with its activations, as many at a time as memory allows."""
    most = max(BYTES_AT_ONCE, int(PART_AT_ONCE * _weight_bytes(graph)))
    for together in _groups(inputs, most):
        observers = [_Observer(one.width) for one in together]
        for outputs in _run(graph, [one.name for one in together], texts):
            for observer, rows in zip(observers, outputs, strict=True):
                observer.add(rows.reshape(-1, rows.shape[-1]))
        release_free_memory()
        while observers:
            yield together[-len(observers)], observers.pop(0).finish()


def _run(graph: Path, names: Sequence[str], texts: Sequence[NDArray[np.int64]]) -> Iterator[list[NDArray[np.float32]]]:
    model = load_graph(graph)
    keep_what_leads_to(model.graph, names)
    wanted = [value.name for value in model.graph.input]
    if unknown := sorted(set(wanted) - set(INPUTS)):
        raise UnsupportedModel(f"the graph wants an input that this build cannot give: {unknown[0]}")
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    observed = graph.with_name(OBSERVED)
    observed.write_bytes(model.SerializeToString())
    del model
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.disable_prepacking", "1")  # PERF: that is a second copy of the weights.
    session = ort.InferenceSession(str(observed), options, providers=["CPUExecutionProvider"])
    observed.unlink()
    for ids in texts:
        yield session.run(list(names), {name: INPUTS[name](ids)[np.newaxis] for name in wanted})


def keep_what_leads_to(graph: GraphProto, names: Sequence[str]) -> None:
    """Remove the nodes, weights and inputs that none of the values ``names`` needs."""
    # PERF: activations are observed a few layers at a time, and the layers behind them are most of the work.
    needed = set(names)
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(_read(node))
    for field, left in (
        (graph.node, nodes[::-1]),
        (graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed]),
        (graph.input, [value for value in graph.input if value.name in needed]),
    ):
        del field[:]
        field.extend(left)


def _read(node: NodeProto) -> Iterator[str]:
    """What a node reads, and what the graphs within it (an If's branches, a Loop's body) may read from outside."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for step in inner.node:
                yield from _read(step)


class _Observer:
    """Grows with each text; products of rows are added up by chunks."""

    def __init__(self, width: int) -> None:
        self._sample: list[NDArray[np.float32]] = []
        self._sampled = self._tokens = self._waiting_tokens = 0
        self._waiting: list[NDArray[np.float32]] = []
        self._abs_max = np.zeros(width, dtype=np.float32)
        self._sum = np.zeros((width, width), dtype=np.float32)

    def add(self, rows: NDArray[np.float32]) -> None:
        if self._sampled < SAMPLE_TOKENS:
            self._sample.append(rows)
            self._sampled += len(rows)
        np.maximum(self._abs_max, np.abs(rows).max(axis=0), out=self._abs_max)
        self._waiting.append(rows)
        self._waiting_tokens += len(rows)
        if self._waiting_tokens >= CHUNK_TOKENS:
            self._add_up()

    def finish(self) -> ActivationStats:
        self._add_up()
        return ActivationStats(tuple(self._sample), self._abs_max, self._sum / np.float64(max(1, self._tokens)))

    def _add_up(self) -> None:
        if self._waiting:
            rows = np.concatenate(self._waiting)
            self._sum += rows.T @ rows
            self._tokens += len(rows)
            self._waiting, self._waiting_tokens = [], 0


def _weight_bytes(graph: Path) -> int:
    return sum(4 * math.prod(tensor.dims) for tensor in load_graph(graph).graph.initializer)


def _groups(inputs: Sequence[LinearInput], most: int) -> Iterator[list[LinearInput]]:
    """Runs of inputs that may be observed together."""
    group: list[LinearInput] = []
    taken = 0
    for one in inputs:
        size = 4 * one.width**2 + 4 * one.width * (SAMPLE_TOKENS + 2 * CHUNK_TOKENS)
        if group and taken + size > most:
            yield group
            group, taken = [], 0
        group.append(one)
        taken += size
    if group:
        yield group
