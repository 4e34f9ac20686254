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

from manifest import Graph, Layout, read_manifest
from runtime.host.cpu import host_target
from runtime.inference.padded_engine import signed_weights_saturate

LIBRARIES = Path(__file__).resolve().parents[3] / "kernels" / "lib"
UNKNOWN = "onnxruntime's choice"

PADDED_INPUTS = {
    "input_ids": lambda ids: ids,
    "attention_mask": np.ones_like,
    "token_type_ids": np.zeros_like,
    "position_ids": lambda ids: np.arange(ids.shape[1], dtype=np.int64)[np.newaxis],
}


class PackedModel:
    """A graph of native ops: all texts in one run."""

    def __init__(self, session: ort.InferenceSession, graph: Graph, isa: str) -> None:
        self._session, self._output, self.isa = session, graph.output, isa

    def run(self, texts: list[list[int]]) -> NDArray[np.float32]:
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        ids = np.array([token for text in texts for token in text], dtype=np.int64)
        return self._session.run([self._output], {"input_ids": ids, "lengths": lengths})[0]


class PaddedModel:
    """A graph of onnxruntime's own ops: one text a run, as the runtime does it."""

    isa = UNKNOWN

    def __init__(self, session: ort.InferenceSession, graph: Graph) -> None:
        self._session, self._graph = session, graph

    def run(self, texts: list[list[int]]) -> NDArray[np.float32]:
        outputs = [self._run_one(np.array([text], dtype=np.int64)) for text in texts]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def _run_one(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        feed = {name: PADDED_INPUTS[name](ids) for name in self._graph.inputs}
        return self._session.run([self._graph.output], feed)[0][0]


def load(bundle: Path, isa: str | None) -> PackedModel | PaddedModel:
    """``isa``: for the native kernels, if it is not to be their own choice."""
    model = read_manifest(bundle).text
    graph = model.graphs[model.main_encoder.graph]
    options = _options()
    if graph.ops is None:
        if SATURATES:
            options.add_session_config_entry("session.x64quantprecision", "1")
        return PaddedModel(_session(bundle / graph.file, options), graph)
    if graph.layout is not Layout.PACKED:
        raise ValueError(f"{bundle.name}: a graph of native ops with layout {graph.layout}")
    library = LIBRARIES / f"libcpu2vec-{host_target()}.so"
    options.add_session_config_entry("cpu2vec.threads", "1")
    if isa:
        options.add_session_config_entry("cpu2vec.isa", isa)
    options.register_custom_ops_library(str(library))
    return PackedModel(_session(bundle / graph.file, options), graph, isa or _own_choice(library))


def _options() -> Any:
    """As the runtime has them for one core."""
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
    return kernels.cpu2vec_kernels_isa().decode()


SATURATES = signed_weights_saturate()
