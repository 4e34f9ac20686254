"""Owns the onnxruntime sessions: the only module that imports onnxruntime, and where its errors are translated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from manifest import BundleError, Graph
from runtime.errors import InferenceFailed
from runtime.memory import give_back_memory
from runtime.token_batch import TokenBatch

Ids = NDArray[np.int64]

INPUTS: dict[str, Callable[[Ids], Ids]] = {
    "input_ids": lambda ids: ids,
    "attention_mask": np.ones_like,
    "token_type_ids": np.zeros_like,
    "position_ids": lambda ids: np.arange(len(ids), dtype=np.int64),
}
"""What a graph may want, from the ids of one text: it is run alone and never padded."""

WIDE_FROM_TOKENS = 32
"""Shorter texts gain nothing from a second core: waking it costs what it saves."""

SPIN_MICROSECONDS = "1000"

LONG_RUN_TOKENS = 512
"""After a run over more, its memory is given back; below, the next run is faster with memory that is there."""

SATURATION_GRAPH = Path(__file__).with_name("saturation.onnx")
"""One MatMulInteger of uint8 (rows, 32) with 32 x 32 int8 weights, all 127."""


class Engine:
    """Runs token batches on one core or on all: two sessions over the same memory-mapped weights.

    The narrow session keeps concurrent requests out of one another's way; the wide one answers a lone request sooner.
    Both give the same bits. Texts are run one by one: dynamic int8 has one scale per tensor, so that a text's vector
    would depend on its neighbours in a batch.
    """

    def __init__(self, path: Path, graph: Graph, cores: int) -> None:
        """Raises ``BundleError`` for a graph that does not load or wants inputs that nobody can give."""
        if unknown := sorted(set(graph.inputs) - set(INPUTS)):
            raise BundleError(f"{path.name} wants an input that this runtime cannot give: {unknown[0]}")
        self._inputs, self._output = graph.inputs, graph.output
        self._giving_back = ort.RunOptions()
        self._giving_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        rewrite = signed_weights_saturate()
        self._narrow = _session(path, _options(1, rewrite))
        self._wide = _session(path, _options(cores, rewrite)) if cores > 1 else self._narrow

    def run(self, batch: TokenBatch, cores: int) -> NDArray[np.float32]:
        """Token embeddings, (sum of lengths, hidden). Ask for more than one core only if nothing else runs."""
        parts = np.split(batch.ids, np.cumsum(batch.lengths)[:-1])
        outputs = [self._run_one(ids, cores) for ids in parts]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def _run_one(self, ids: NDArray[np.int64], cores: int) -> NDArray[np.float32]:
        session = self._wide if cores > 1 and len(ids) >= WIDE_FROM_TOKENS else self._narrow
        feed = {name: INPUTS[name](ids)[np.newaxis] for name in self._inputs}
        try:
            output: NDArray[np.float32] = session.run([self._output], feed, self._run_options(len(ids)))[0]
        except Exception as error:  # NOTE: onnxruntime's exceptions share no base class below Exception.
            raise InferenceFailed(f"onnxruntime failed: {_first_line(error)}") from error
        if len(ids) > LONG_RUN_TOKENS:
            give_back_memory()
        return output[0]

    def _run_options(self, tokens: int) -> ort.RunOptions | None:
        return self._giving_back if tokens > LONG_RUN_TOKENS else None


def signed_weights_saturate() -> bool:
    """Whether products with signed 8-bit weights overflow here: x86 without VNNI adds pairs of them in 16 bits.

    Found out by multiplying, because the flags that a CPU shows are not always those that it has (emulators).
    """
    session = _session(SATURATION_GRAPH, _options(1, False))
    activations = np.full((4, 32), 255, dtype=np.uint8)
    return bool((session.run(None, {"activations": activations})[0] != 32 * 255 * 127).any())


def _session(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(
            str(path),
            options,
            providers=["CPUExecutionProvider"],
            # PERF: the fused op is several times slower than the two that it replaces on some CPUs.
            disabled_optimizers=["SkipLayerNormFusion"],
        )
    except Exception as error:  # NOTE: see above.
        raise BundleError(f"{path.name} cannot be loaded: {_first_line(error)}") from error


def _options(cores: int, rewrite_signed_weights: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    # NOTE: below «extended», onnxruntime ignores session.x64quantprecision without a word.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.intra_op_num_threads = cores
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # PERF: else a second run over the same number of tokens takes its memory twice, and keeps it.
    options.enable_mem_pattern = False
    # NOTE: on arm64 CPUs with SME these kernels round otherwise than on all others, and under emulation wrongly.
    options.add_session_config_entry("mlas.disable_kleidiai", "1")
    if cores > 1:
        # PERF: threads spin for the next node of the same run, and sleep between runs: an idle server costs nothing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
        options.add_session_config_entry("session.force_spinning_stop", "1")
    if rewrite_signed_weights:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
