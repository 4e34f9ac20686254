"""Measures what a session costs besides time per text: its creation, its memory, and the vectors' fidelity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.models.engines.inputs import Text
from bench.models.measurement import Plan
from bench.models.process import Process
from bench.models.rows import TORCH_FP32, Files, Spec
from bench.report.statistics import median
from build.fidelity.cosine import cosines, summarize
from manifest import CosineFigures

CREATIONS = 5
"""A session is created so often; the median counts."""

RUN_LENGTHS = tuple(range(1, 65))
"""The runs before memory is read have texts of so many tokens, in turn."""


@dataclass(frozen=True)
class Costs:
    """What a session costs. Memory is in bytes, beyond what the process had before the session."""

    session_seconds: float
    private: int
    pss: int
    """The sum of two processes that run the same files."""
    fidelity: CosineFigures | None = None


def take_costs(spec: Spec, path: Path, plan: Plan) -> Costs:
    """Costs in fresh processes. Raises ``ModelFailed``."""
    lengths = [length for length in RUN_LENGTHS if length <= max(plan.tokens)]
    with Process(spec, path, plan.core) as first, Process(spec, path, plan.core) as second:
        pair = (first, second)
        for process in pair:
            # NOTE: who answers has loaded its libraries. Until both have, one of them holds what they share alone.
            process.ask("memory")
        before = [process.ask("memory") for process in pair]
        for process in pair:
            process.ask("load")
            process.ask("run", lengths=lengths, runs=plan.runs)
        after = [process.ask("memory") for process in pair]
        seconds = [first.ask("load")["seconds"] for _ in range(CREATIONS)]
    return Costs(
        session_seconds=median(seconds),
        private=after[0]["private"] - before[0]["private"],
        pss=sum(late["pss"] - early["pss"] for late, early in zip(after, before, strict=True)),
    )


def embed(spec: Spec, path: Path, texts: Sequence[Sequence[int]], plan: Plan) -> NDArray[np.float32]:
    """(texts, width): the mean of each text's token embeddings. Raises ``ModelFailed``."""
    with Process(spec, path, plan.core) as process:
        process.ask("load")
        return np.asarray(process.ask("embed", texts=[Text(text) for text in texts])["vectors"], dtype=np.float32)


def take_fidelities(
    specs: Sequence[Spec], files: Mapping[Files, Path], texts: Sequence[Sequence[int]], plan: Plan
) -> dict[Spec, CosineFigures]:
    """How close the vectors are to PyTorch's; empty where PyTorch is not measured. Raises ``ModelFailed``."""
    if not texts or TORCH_FP32 not in [spec.system.name for spec in specs]:
        return {}
    vectors = {spec: embed(spec, files[spec.system.files], texts, plan) for spec in specs}
    reference = next(own for spec, own in vectors.items() if spec.system.name == TORCH_FP32)
    return {spec: summarize(cosines(own, reference)) for spec, own in vectors.items()}
