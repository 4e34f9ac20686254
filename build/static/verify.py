"""Serves a static model's bundle with the real runtime and compares its vectors with the original's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from build.errors import VerificationFailed
from build.fidelity.cosine import DECIMALS, cosines, summarize
from build.fidelity.cpu_classes import FLOATS, LOSS_FACTOR
from build.fidelity.golden import CHINESE_AND_JAPANESE, PLAIN, VECTOR_DECIMALS
from build.fidelity.report import MeasuredClass, MeasuredText
from build.fidelity.requests import VECTORS_ROUTE, VectorRequest, heldout_texts, spread_over_prompts
from build.fidelity.runtime_process import AS_THE_ORIGINAL, RuntimeClient, serve
from build.model.sentence_files import Prompts
from build.precisions import PrecisionSpec
from build.static.describe import StaticDescription
from build.static.original import Original
from manifest import Golden, GoldenRequest, Precision, Task, Tolerance

MAX_DIFFERENCE = 1e-6
"""Of a component, where the bundle has the numbers that the model's files have; of the largest one, where that is above
1."""

GOLDEN_DIFFERENCE = 1e-5
"""The same for golden requests of servers, whose processors may sum in another order."""

LONG = " ".join([PLAIN, CHINESE_AND_JAPANESE] * 100)
"""More tokens than an original with a limit reads."""


@dataclass(frozen=True)
class StaticVerification:
    """What was found."""

    measured: MeasuredClass
    golden: Golden


def verify_static(
    bundle: Path,
    description: StaticDescription,
    original: Original,
    spec: PrecisionSpec,
    bars: bool,
) -> StaticVerification:
    """Ask for the held-out texts and for the golden ones.

    Raises ``VerificationFailed``, also for a stored table whose vectors are not the original's.
    """
    heldout = spread_over_prompts(heldout_texts(), (None,), description.prompts)
    golden = _golden(description.prompts)
    requests = [*heldout, *golden]
    expected = original.embed(requests)
    with serve(bundle, AS_THE_ORIGINAL) as client:
        served = _served(client, requests, bars)
    difference, largest = np.abs(served - expected).max(), np.abs(expected).max()
    # NOTE: negated, because every comparison with NaN is false.
    if spec.precision is Precision.STORED and not difference <= MAX_DIFFERENCE * max(1.0, largest):
        raise VerificationFailed(
            f"a served vector is {difference:g} off the original's, and a stored table must not differ"
        )
    values = cosines(served, expected)
    measured, count = _measured(description, requests, values), len(heldout)
    answers = zip(golden, expected[count:], values[count:].tolist(), strict=True)
    return StaticVerification(
        MeasuredClass(FLOATS, summarize(values[:count]), measured[:count], measured[count:]),
        Golden(tuple(_golden_request(request, vector, cosine, spec) for request, vector, cosine in answers)),
    )


def _golden(prompts: Prompts) -> list[VectorRequest]:
    """The empty text, Latin and CJK script, one beyond every limit, and one for each prompt and task."""
    texts = [VectorRequest(text) for text in ("", PLAIN, CHINESE_AND_JAPANESE, LONG)]
    named = [VectorRequest(PLAIN, prompt_name=name) for name in sorted(prompts.prompts)]
    return [*texts, *named, *(VectorRequest(PLAIN, Task(task)) for task in sorted(prompts.tasks()))]


def _golden_request(
    request: VectorRequest, vector: NDArray[np.float64], cosine: float, spec: PrecisionSpec
) -> GoldenRequest:
    """A table in 8 bits is held to a cosine, and any other to each component."""
    components = [round(component, VECTOR_DECIMALS) for component in vector.tolist()]
    if spec.precision is Precision.INT8:
        floor = round(1 - LOSS_FACTOR * (1 - cosine) - spec.golden_tolerance, DECIMALS)
        tolerance = Tolerance(min_cosine=floor)
    elif spec.precision is Precision.STORED:
        tolerance = Tolerance(max_error=GOLDEN_DIFFERENCE * max(1.0, *map(abs, components)))
    else:
        # NOTE: an original in 16 bits rounds its vectors, and a table in fp32 does not.
        tolerance = Tolerance(min_cosine=1 - spec.golden_tolerance)
    return GoldenRequest(VECTORS_ROUTE, request.body, {"vector": components}, tolerance)


def _served(client: RuntimeClient, requests: list[VectorRequest], bars: bool) -> NDArray[np.float64]:
    asked = tqdm(requests, desc="Served", disable=not bars)
    vectors = [client.embed(request.text, request.task, request.prompt_name) for request in asked]
    return np.stack(vectors).astype(np.float64)


def _measured(
    description: StaticDescription, requests: list[VectorRequest], values: NDArray[np.float64]
) -> tuple[MeasuredText, ...]:
    """Texts are numbered from 1."""
    limit = description.max_tokens
    measured = []
    for number, (request, cosine) in enumerate(zip(requests, values.tolist(), strict=True), 1):
        tokens = len(description.tokenizer.encode(request.text, add_special_tokens=False).ids)
        count = tokens if limit is None else min(tokens, limit)
        measured.append(
            MeasuredText(number, request.text, request.task, request.prompt_name, count, round(cosine, DECIMALS))
        )
    return tuple(measured)
