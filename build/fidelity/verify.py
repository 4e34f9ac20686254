"""Last stage but one: serves the bundle with the real runtime and compares its vectors with the original's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from build.fidelity.cosine import DECIMALS, cosines, summarize
from build.fidelity.cpu_classes import CpuClass, VerificationPlan
from build.fidelity.heldout import heldout_texts
from build.fidelity.report import MeasuredText
from build.fidelity.requests import Candidate, deal_out
from build.fidelity.runtime_process import AS_THE_ORIGINAL, RuntimeClient, serve
from build.pytorch.reference import Reference
from manifest import Fidelity, Golden, GoldenText, Task, TextModel

VECTOR_DECIMALS = 8


@dataclass(frozen=True)
class MeasuredClass:
    """What CPUs of one arithmetic give: ``fidelity`` sums up the ``heldout`` texts."""

    arithmetic: CpuClass
    fidelity: Fidelity
    heldout: tuple[MeasuredText, ...]
    golden_texts: tuple[MeasuredText, ...]


@dataclass(frozen=True)
class Verification:
    """``classes``: that of this machine's best instructions first; ``golden`` is what a server of any checks."""

    classes: tuple[MeasuredClass, ...]
    golden: Golden

    @property
    def first(self) -> MeasuredClass:
        return self.classes[0]


def verify(
    bundle: Path,
    model: TextModel,
    reference: Reference,
    candidates: list[Candidate],
    measuring: VerificationPlan,
    progress: bool,
) -> Verification:
    """Fidelity on the held-out texts, in each pass; golden texts with floors a little below the lowest measured.

    A sound runtime may lose some more than this one lost: on another architecture activations tip over to the next
    step elsewhere. What belongs in front of a text is asked of the original, so that a prompt which
    the bundle has lost shows. Raises ``VerificationFailed``.
    """
    heldout = deal_out(heldout_texts(), model.route_tasks, reference.prompts)
    expected = _originals(reference, model, heldout, progress)
    golden = _originals(reference, model, candidates, progress=False)
    tokens = _tokens(reference, model, [*heldout, *candidates])
    reference.release()  # PERF: the original and the server need not fit into memory together.
    classes = []
    for one in measuring.runs:  # PERF: one server after another, so that memory holds one.
        with serve(bundle, {**AS_THE_ORIGINAL, **one.settings}) as client:
            near = cosines(_served(client, heldout, progress), expected)
            near_golden = cosines(_served(client, candidates, progress=False), golden)
        classes.append(
            MeasuredClass(
                one.cpu_class,
                summarize(near),
                _measured(heldout, tokens[: len(heldout)], near),
                _measured(candidates, tokens[len(heldout) :], near_golden),
            )
        )
    return Verification(tuple(classes), Golden(tuple(_golden_texts(candidates, golden, classes, measuring))))


def _golden_texts(
    candidates: list[Candidate], vectors: NDArray[np.float32], classes: list[MeasuredClass], measuring: VerificationPlan
) -> Iterator[GoldenText]:
    for place, (one, vector) in enumerate(zip(candidates, vectors, strict=True)):
        lowest = min(found.golden_texts[place].cosine for found in classes)
        floor = round(1 - measuring.loss_factor * (1 - lowest) - measuring.tolerance, DECIMALS)
        yield GoldenText(one.text, one.task, one.prompt_name, _components(vector), floor)


def _served(client: RuntimeClient, candidates: list[Candidate], progress: bool) -> NDArray[np.float32]:
    """(candidates, dim): what the runtime gives, one request after another."""
    ask = [(one.text, one.task, one.prompt_name) for one in candidates]
    return np.stack([client.embed(*one) for one in tqdm(ask, desc="Served", disable=not progress)])


def _originals(
    reference: Reference, model: TextModel, candidates: list[Candidate], progress: bool
) -> NDArray[np.float32]:
    """(candidates, dim): what the original gives; texts with the same prompt and task go to it together."""
    groups: dict[tuple[str, Task | None], list[int]] = {}
    for place, one in enumerate(candidates):
        groups.setdefault((reference.prompt(one.task, one.prompt_name), one.task), []).append(place)
    vectors = np.empty((len(candidates), model.dim), dtype=np.float32)
    for (prompt, task), places in groups.items():
        texts = [candidates[place].text for place in places]
        vectors[places] = reference.embed(texts, prompt, task if model.routes else None, progress)
    return vectors


def _tokens(reference: Reference, model: TextModel, candidates: list[Candidate]) -> list[int]:
    """How many tokens of each the model reads, prompt and special ones included."""
    tokenizers = {name: reference.tokenizer(name) for name in model.encoders}
    counts = []
    for one in candidates:
        name = model.encoder_name(one.task) or min(model.encoders)
        ids = tokenizers[name].encode(reference.prompt(one.task, one.prompt_name) + one.text).ids
        counts.append(min(len(ids), model.encoders[name].max_tokens))
    return counts


def _measured(candidates: list[Candidate], tokens: list[int], near: NDArray[np.float64]) -> tuple[MeasuredText, ...]:
    """Numbered from 1; for each route again."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(one.text for one in candidates), 1)}
    return tuple(
        MeasuredText(numbers[one.text], one.text, one.task, one.prompt_name, count, round(cosine, DECIMALS))
        for one, count, cosine in zip(candidates, tokens, near.tolist(), strict=True)
    )


def _components(vector: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(round(component, VECTOR_DECIMALS) for component in vector.tolist())
