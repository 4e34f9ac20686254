"""Runs graphs of onnxruntime's own ops, text by text: they are never padded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from manifest import Graph
from runtime.host.memory import release_free_memory
from runtime.inference.session import Session
from runtime.inference.token_batch import TokenBatch

Ids = NDArray[np.int64]

WIDE_FROM_TOKENS = 32
"""Shorter texts gain nothing from a second core: waking it costs what it saves."""

LONG_RUN_TOKENS = 512
"""After a run over more, its memory is given back; below, the next run is faster with memory that is there."""

SATURATION_GRAPH = Path(__file__).with_name("saturation.onnx")
"""One MatMulInteger of uint8 (rows, 32) with 32 x 32 int8 weights, all 127."""


class PaddedEngine:
    """Two sessions over the same memory-mapped weights: the narrow one keeps concurrent requests out of one another's
    way; the wide one answers a lone request sooner. Both give the same bits.

    Texts are run one by one: dynamic int8 has one scale per tensor, so that a text's vector would depend on its
    neighbours in a batch.
    """

    INPUTS: ClassVar[dict[str, Callable[[Ids], Ids]]] = {
        "input_ids": lambda ids: ids,
        "attention_mask": np.ones_like,
        "token_type_ids": np.zeros_like,
        "position_ids": lambda ids: np.arange(len(ids), dtype=np.int64),
    }
    """What a graph may want, from the ids of one text."""

    supports_batching = False

    def __init__(self, path: Path, graph: Graph, cores: int) -> None:
        """Raises ``BundleError`` for a graph that does not load."""
        self._inputs, self._output = graph.inputs, graph.output
        entries = {"session.x64quantprecision": "1"} if signed_weights_saturate() else {}
        self._narrow = Session(path, 1, entries)
        self._wide = Session(path, cores, entries) if cores > 1 else self._narrow

    def run(self, batch: TokenBatch, cores: int) -> NDArray[np.float32]:
        parts = np.split(batch.ids, np.cumsum(batch.lengths)[:-1])
        outputs = [self._run_one(ids, cores) for ids in parts]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def _run_one(self, ids: Ids, cores: int) -> NDArray[np.float32]:
        session = self._wide if cores > 1 and len(ids) >= WIDE_FROM_TOKENS else self._narrow
        feed = {name: self.INPUTS[name](ids)[np.newaxis] for name in self._inputs}
        is_long = len(ids) > LONG_RUN_TOKENS
        output = session.run(self._output, feed, give_back=is_long)[0]
        if is_long:
            release_free_memory()
        return output


def signed_weights_saturate() -> bool:
    """Whether products with signed 8-bit weights overflow here: x86 without VNNI adds pairs of them in 16 bits.

    Found out by multiplying, because the flags that a CPU shows are not always those that it has (emulators).
    """
    activations = np.full((4, 32), 255, dtype=np.uint8)
    products = Session(SATURATION_GRAPH, 1, {}).run("products", {"activations": activations})
    return bool((products != 32 * 255 * 127).any())
