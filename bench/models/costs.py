"""Takes what a session costs beside time per text: its making, memory, and fidelity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.models.measurement import Plan
from bench.models.process import Process
from bench.models.rows import TORCH_FP32, Files, Spec
from bench.report.statistics import median
from build.fidelity.cosine import cosines, summarize
from manifest import Fidelity

CREATIONS = 5
"""How often a session is made; the median counts."""

WORK_LENGTHS = tuple(range(1, 65))
"""Tokens of the texts of the runs after which memory is read, in turn."""


@dataclass(frozen=True)
class Costs:
    """Bytes, beyond what the process had before the session; ``pss``: of two processes that run the same files."""

    session_seconds: float
    private: int
    pss: int
    fidelity: Fidelity | None = None


def take_costs(spec: Spec, path: Path, plan: Plan) -> Costs:
    """Of fresh processes. Raises ``ModelFailed``."""
    lengths = [length for length in WORK_LENGTHS if length <= max(plan.tokens)]
    with Process(spec, path, plan.core) as one, Process(spec, path, plan.core) as other:
        pair = (one, other)
        before = [process.ask("memory") for process in pair]
        for process in pair:
            process.ask("load")
            process.ask("work", lengths=lengths, runs=plan.runs)
        after = [process.ask("memory") for process in pair]
        seconds = [one.ask("load")["seconds"] for _ in range(CREATIONS)]
    return Costs(
        session_seconds=median(seconds),
        private=after[0]["private"] - before[0]["private"],
        pss=sum(late["pss"] - early["pss"] for late, early in zip(after, before, strict=True)),
    )


def embed(spec: Spec, path: Path, texts: Sequence[Sequence[int]], plan: Plan) -> NDArray[np.float32]:
    """(texts, width): means over the tokens' embeddings. Raises ``ModelFailed``."""
    with Process(spec, path, plan.core) as process:
        process.ask("load")
        return np.asarray(process.ask("embed", texts=texts)["vectors"], dtype=np.float32)


def take_fidelities(
    specs: Sequence[Spec], files: Mapping[Files, Path], texts: Sequence[Sequence[int]], plan: Plan
) -> dict[Spec, Fidelity]:
    """How near to PyTorch's vectors the others' are; empty where it is not among them. Raises ``ModelFailed``."""
    if not texts or TORCH_FP32 not in [spec.system.name for spec in specs]:
        return {}
    vectors = {spec: embed(spec, files[spec.system.files], texts, plan) for spec in specs}
    reference = next(own for spec, own in vectors.items() if spec.system.name == TORCH_FP32)
    return {spec: summarize(cosines(own, reference)) for spec, own in vectors.items()}
