"""Runs a bundle's graph in onnxruntime, with the session options of this project's runtime, on one thread."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bench.models.encoder_graph import encoder_graph
from bench.models.engines.inputs import TYPES, Text, feed, join
from build.paths import ROOT
from manifest import Graph, Layout
from runtime.host.cpu import host_target
from runtime.inference.packed_engine import ROWS
from runtime.inference.padded_engine import signed_weights_saturate

LIBRARIES = ROOT / "kernels" / "lib"
UNKNOWN = "onnxruntime's choice"


class PackedModel:
    """Runs a graph of native ops on all texts at once."""

    def __init__(self, session: ort.InferenceSession, graph: Graph, isa: str) -> None:
        self._session, self._graph, self.isa = session, graph, isa

    def run(self, texts: list[Text]) -> NDArray[np.float32]:
        lengths = np.array([len(text.ids) for text in texts], dtype=np.int64)
        return self._run(texts, lengths, rows=np.cumsum(lengths) - lengths)

    def embed(self, text: Text) -> NDArray[np.float32]:
        tokens = len(text.ids)
        return self._run([text], np.array([tokens], dtype=np.int64), rows=np.arange(tokens, dtype=np.int64))

    def _run(self, texts: list[Text], lengths: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """``rows``: the tokens that are wanted, where the graph can leave out others."""
        ids = np.array([token for text in texts for token in text.ids], dtype=np.int64)
        inputs = {"input_ids": ids, "lengths": lengths}
        if TYPES in self._graph.inputs:
            types = [kind for text in texts for kind in text.types or [0] * len(text.ids)]
            inputs[TYPES] = np.array(types, dtype=np.int64)
        if ROWS in self._graph.inputs:
            inputs[ROWS] = rows
        embeddings: NDArray[np.float32] = self._session.run([self._graph.output], inputs)[0]
        return embeddings


class PaddedModel:
    """Runs a graph of onnxruntime's own ops on one text at a time, as the runtime does."""

    isa = UNKNOWN

    def __init__(self, session: ort.InferenceSession, graph: Graph) -> None:
        self._session, self._graph = session, graph

    def run(self, texts: list[Text]) -> NDArray[np.float32]:
        return join([self.embed(text) for text in texts])

    def embed(self, text: Text) -> NDArray[np.float32]:
        embeddings: NDArray[np.float32] = self._session.run([self._graph.output], feed(self._graph.inputs, text))[0][0]
        return embeddings


def load(bundle: Path, isa: str | None, callers: int) -> PackedModel | PaddedModel:
    """``isa``: the instruction set that the native kernels must use; None for their own choice.

    The session runs on the thread that calls it, so that any number of ``callers`` may.
    """
    graph = encoder_graph(bundle)
    options = _options()
    if graph.ops is None:
        if SATURATES:
            options.add_session_config_entry("session.x64quantprecision", "1")
        return PaddedModel(_session(bundle / graph.file, options), graph)
    if graph.layout is not Layout.PACKED:
        raise ValueError(f"{bundle.name}: a graph of native ops must have layout {Layout.PACKED}, not {graph.layout}")
    library = LIBRARIES / f"libcpu2vec-{host_target()}.so"
    options.add_session_config_entry("cpu2vec.threads", "1")
    if isa:
        options.add_session_config_entry("cpu2vec.isa", isa)
    options.register_custom_ops_library(str(library))
    return PackedModel(_session(bundle / graph.file, options), graph, isa or _own_choice(library))


def _options() -> Any:
    """The runtime's options for one core."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    options.add_session_config_entry("mlas.disable_kleidiai", "1")
    return options


def _session(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    return ort.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
    )


def _own_choice(library: Path) -> str:
    kernels = ctypes.CDLL(str(library))
    kernels.cpu2vec_kernels_isa.restype = ctypes.c_char_p
    name: bytes = kernels.cpu2vec_kernels_isa()
    return name.decode()


SATURATES = signed_weights_saturate()
