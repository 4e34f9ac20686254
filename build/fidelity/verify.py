"""Serves a bundle with the real runtime and compares its vectors with the original's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from build.fidelity.cosine import DECIMALS, cosines, summarize
from build.fidelity.cpu_classes import LOSS_FACTOR, VerificationPlan
from build.fidelity.golden import golden_request
from build.fidelity.report import MeasuredClass, MeasuredText
from build.fidelity.requests import VectorRequest, heldout_texts, spread_over_prompts
from build.fidelity.runtime_process import AS_THE_ORIGINAL, RuntimeClient, serve
from build.pytorch.reference import Reference
from manifest import Golden, GoldenRequest, Task, TextModel


@dataclass(frozen=True)
class Verification:
    """The comparison of a bundle of text embeddings with its original."""

    measured: MeasuredClass
    golden: Golden
    """What a server checks."""


def verify(
    bundle: Path,
    model: TextModel,
    reference: Reference,
    golden: list[VectorRequest],
    plan: VerificationPlan,
    bars: bool,
) -> Verification:
    """Measure the held-out texts, and set the golden requests' floors a little below what was measured.

    A correct server may lose somewhat more than this one lost, because on another architecture activations tip over to
    the next quantized value in other places. Prompts are taken from the original, so that one which the bundle has lost
    is noticed. Raises ``VerificationFailed``.
    """
    heldout = spread_over_prompts(heldout_texts(), model.route_tasks, reference.prompts)
    expected = _originals(reference, model, heldout, bars)
    golden_vectors = _originals(reference, model, golden, bars=False)
    tokens = _count_tokens(reference, model, [*heldout, *golden])
    reference.release()  # PERF: the original and the server need not fit into memory together.
    with serve(bundle, AS_THE_ORIGINAL) as client:
        heldout_cosines = cosines(_served(client, heldout, bars), expected)
        golden_cosines = cosines(_served(client, golden, bars=False), golden_vectors)
    measured = MeasuredClass(
        plan.cpu_class,
        summarize(heldout_cosines),
        _measured(heldout, tokens[: len(heldout)], heldout_cosines),
        _measured(golden, tokens[len(heldout) :], golden_cosines),
    )
    return Verification(measured, Golden(tuple(_golden_requests(golden, golden_vectors, measured, plan.tolerance))))


def _golden_requests(
    requests: list[VectorRequest], vectors: NDArray[np.float32], measured: MeasuredClass, tolerance: float
) -> Iterator[GoldenRequest]:
    for request, vector, found in zip(requests, vectors, measured.golden, strict=True):
        floor = round(1 - LOSS_FACTOR * (1 - found.cosine) - tolerance, DECIMALS)
        yield golden_request(request, vector, floor)


def _served(client: RuntimeClient, requests: list[VectorRequest], bars: bool) -> NDArray[np.float32]:
    """(requests, dim): what the runtime answers, one request after another."""
    asked = tqdm(requests, desc="Served", disable=not bars)
    return np.stack([client.embed(request.text, request.task, request.prompt_name) for request in asked])


def _originals(
    reference: Reference, model: TextModel, requests: list[VectorRequest], bars: bool
) -> NDArray[np.float32]:
    """(requests, dim): what the original returns; texts with the same prompt and task are embedded together."""
    groups: dict[tuple[str, Task | None], list[int]] = {}
    for index, request in enumerate(requests):
        prompt = reference.prompt(request.task, request.prompt_name)
        groups.setdefault((prompt, request.task), []).append(index)
    vectors = np.empty((len(requests), model.dim), dtype=np.float32)
    for (prompt, task), indices in groups.items():
        texts = [requests[index].text for index in indices]
        vectors[indices] = reference.embed(texts, prompt, task if model.routes else None, bars)
    return vectors


def _count_tokens(reference: Reference, model: TextModel, requests: list[VectorRequest]) -> list[int]:
    """How many tokens of each request the model reads, with the prompt's and special ones."""
    tokenizers = {name: reference.tokenizer(name) for name in model.encoders}
    counts = []
    for request in requests:
        name = model.encoder_name(request.task) or min(model.encoders)
        ids = tokenizers[name].encode(reference.prompt(request.task, request.prompt_name) + request.text).ids
        counts.append(min(len(ids), model.encoders[name].max_tokens))
    return counts


def _measured(
    requests: list[VectorRequest], tokens: list[int], values: NDArray[np.float64]
) -> tuple[MeasuredText, ...]:
    """Texts are numbered from 1; each route has the same numbers."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(request.text for request in requests), 1)}
    return tuple(
        MeasuredText(
            numbers[request.text], request.text, request.task, request.prompt_name, count, round(cosine, DECIMALS)
        )
        for request, count, cosine in zip(requests, tokens, values.tolist(), strict=True)
    )
