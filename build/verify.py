"""Sixth stage: serves the bundle with the real runtime and compares its vectors with the original's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from build.fidelity import cosines, summarize
from build.golden_texts import Candidate
from build.heldout import heldout_texts
from build.reference import Reference
from build.runtime_process import serve
from manifest import Fidelity, Golden, GoldenText, TextModel

VECTOR_DECIMALS = 8


@dataclass(frozen=True)
class Verification:
    fidelity: Fidelity
    golden: Golden


def verify(
    bundle: Path, model: TextModel, reference: Reference, candidates: list[Candidate], slack: float, progress: bool
) -> Verification:
    """Fidelity on the held-out texts; golden texts with floors a little below what was measured here.

    A sound runtime may lose half more than this one lost, and ``slack``: on another architecture activations tip over
    to the next of 256 steps elsewhere. Raises ``VerificationFailed``.
    """
    texts = heldout_texts()
    prompts = [_prompt(model, candidate) for candidate in candidates]
    expected = reference.embed(texts, _default_prompt(model), progress)
    golden = np.concatenate(
        [reference.embed([one.text], prompt) for one, prompt in zip(candidates, prompts, strict=True)]
    )
    with serve(bundle) as client:
        served = np.stack([client.embed(text) for text in tqdm(texts, desc="Served", disable=not progress)])
        measured = cosines(np.stack([client.embed(one.text, one.task) for one in candidates]), golden)
    return Verification(
        fidelity=summarize(cosines(served, expected)),
        golden=Golden(
            tuple(
                GoldenText(one.text, one.task, _components(vector), round(1 - 1.5 * (1 - cosine) - slack, 6))
                for one, vector, cosine in zip(candidates, golden, measured.tolist(), strict=True)
            )
        ),
    )


def _components(vector: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(round(component, VECTOR_DECIMALS) for component in vector.tolist())


def _default_prompt(model: TextModel) -> str:
    return "" if model.default_prompt is None else model.prompts[model.default_prompt]


def _prompt(model: TextModel, candidate: Candidate) -> str:
    return _default_prompt(model) if candidate.task is None else model.prompts[model.tasks[candidate.task]]
