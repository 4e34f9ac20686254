"""Last stage but one: serves the bundle with the real runtime and compares its vectors with the original's."""

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
from manifest import Fidelity, Golden, GoldenText, Task, TextModel

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
    heldout = [Candidate(text, task) for task in model.route_tasks for text in heldout_texts()]
    expected = _originals(reference, model, heldout, progress)
    golden = _originals(reference, model, candidates, progress=False)
    reference.release()  # PERF: the original and the server need not fit into memory together.
    with serve(bundle) as client:
        ask = [(one.text, one.task, one.prompt_name) for one in heldout]
        served = np.stack([client.embed(*one) for one in tqdm(ask, desc="Served", disable=not progress)])
        ask = [(one.text, one.task, one.prompt_name) for one in candidates]
        measured = cosines(np.stack([client.embed(*one) for one in ask]), golden)
    return Verification(
        fidelity=summarize(cosines(served, expected)),
        golden=Golden(
            tuple(
                GoldenText(
                    text=one.text,
                    task=one.task,
                    prompt_name=one.prompt_name,
                    vector=_components(vector),
                    min_cosine=round(1 - 1.5 * (1 - cosine) - slack, 6),
                )
                for one, vector, cosine in zip(candidates, golden, measured.tolist(), strict=True)
            )
        ),
    )


def _originals(
    reference: Reference, model: TextModel, candidates: list[Candidate], progress: bool
) -> NDArray[np.float32]:
    """(candidates, dim): what the original gives; texts with the same prompt and task go to it together."""
    groups: dict[tuple[str, Task | None], list[int]] = {}
    for place, one in enumerate(candidates):
        groups.setdefault((model.prompt(one.task, one.prompt_name), one.task), []).append(place)
    vectors = np.empty((len(candidates), model.dim), dtype=np.float32)
    for (prompt, task), places in groups.items():
        texts = [candidates[place].text for place in places]
        vectors[places] = reference.embed(texts, prompt, task if model.routes else None, progress)
    return vectors


def _components(vector: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(round(component, VECTOR_DECIMALS) for component in vector.tolist())
