"""Runs graphs of onnxruntime's own ops: each text of a batch in a run of its own, so that none is padded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from manifest import Graph
from runtime.inference.session import Session, SessionPair
from runtime.inference.token_batch import TokenBatch

Ids = NDArray[np.int64]

SATURATION_GRAPH = Path(__file__).with_name("saturation.onnx")
"""The graph is one MatMulInteger of uint8 (rows, 32) with int8 weights (32, 32), all 127."""


class PaddedEngine:
    """Implements ``engine.Engine``.

    Dynamic int8 has one scale per tensor, so that a text's vector would depend on its neighbors in a joint run.
    """

    INPUTS: ClassVar[dict[str, Callable[[Ids, Ids], Ids]]] = {
        "input_ids": lambda ids, types: ids,
        "attention_mask": lambda ids, types: np.ones_like(ids),
        "token_type_ids": lambda ids, types: types,
        "position_ids": lambda ids, types: np.arange(len(ids), dtype=np.int64),
    }
    """The inputs that a graph may have, from the ids and the token types of one text."""

    supports_batching = False
    pools = False

    def __init__(self, path: Path, graph: Graph, cores: int) -> None:
        """Raises ``BundleError`` for a graph that does not load."""
        self._inputs, self._output = graph.inputs, graph.output
        entries = {"session.x64quantprecision": "1"} if signed_weights_saturate() else {}
        self._sessions = SessionPair.open(lambda threads: Session(path, threads, entries), cores)

    def run(self, batch: TokenBatch, cores: int) -> NDArray[np.float32]:
        """See ``engine.Engine``."""
        ends = np.cumsum(batch.lengths)[:-1]
        texts = zip(np.split(batch.ids, ends), np.split(batch.token_types, ends), strict=True)
        outputs = [self._run_text(ids, types, cores) for ids, types in texts]
        return batch.select(outputs[0] if len(outputs) == 1 else np.concatenate(outputs))

    def _run_text(self, ids: Ids, types: Ids, cores: int) -> NDArray[np.float32]:
        feed = {name: self.INPUTS[name](ids, types)[np.newaxis] for name in self._inputs}
        embeddings: NDArray[np.float32] = self._sessions.run(self._output, feed, len(ids), cores)[0]
        return embeddings


def signed_weights_saturate() -> bool:
    """Whether products with signed 8-bit weights overflow here, as on x86 without VNNI, which adds pairs in 16 bits.

    Found out by multiplying, because the flags that a CPU shows are not always those that it has (emulators).
    """
    activations = np.full((4, 32), 255, dtype=np.uint8)
    products = Session(SATURATION_GRAPH, 1, {}).run("products", {"activations": activations})
    return bool((products != 32 * 255 * 127).any())
