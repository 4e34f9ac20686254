"""Serves a bundle of two towers with the real runtime and compares its vectors with the original's, tower by tower."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from build.clip.heldout import golden_images, heldout_images
from build.clip.original import Original
from build.errors import ContainerFailed, VerificationFailed
from build.fidelity.client import VectorsClient
from build.fidelity.cosine import DECIMALS, cosines, summarize
from build.fidelity.cpu_classes import LOSS_FACTOR, VerificationPlan
from build.fidelity.golden import CHINESE_AND_JAPANESE, PLAIN, VECTOR_DECIMALS, fill_window
from build.fidelity.report import MeasuredClass, MeasuredText
from build.fidelity.requests import heldout_texts
from build.fidelity.runtime_process import AS_THE_ORIGINAL, REQUEST_SECONDS, serve
from manifest import ClipModel, Golden, GoldenRequest, Tolerance

ROUTE = "/vectorize"
TEXT_VECTORS, IMAGE_VECTORS = "textVectors", "imageVectors"

MAX_NORM_ERROR = 0.05
"""Of a vector's length, as a share of the original's: in Weaviate, lengths decide how much texts and images weigh."""

ITEMS = 8
"""So many items are in a request: jobs of one request run at the same time, as they do for Weaviate."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class ClipVerification:
    """What was found, for each tower."""

    texts: MeasuredClass
    images: MeasuredClass
    golden: Golden


def verify_clip(
    bundle: Path, model: ClipModel, original: Original, plan: VerificationPlan, bars: bool
) -> ClipVerification:
    """Ask for held-out and golden texts and images. Raises ``VerificationFailed``."""
    (encoder,) = model.text.encoders.values()
    tokenizer = original.tokenizer()
    golden_texts = ["", PLAIN, CHINESE_AND_JAPANESE, fill_window(tokenizer, encoder.max_tokens)]
    texts, images = heldout_texts(), heldout_images()
    texts, golden_pictures = [*texts, *golden_texts], golden_images()
    images = [*images, *golden_pictures]
    expected_texts = original.embed_texts(texts)
    expected_images = original.embed_images([image.picture for image in images])
    original.release()  # PERF: the original and the server need not fit into memory together.
    with serve(bundle, AS_THE_ORIGINAL) as runtime:
        client = _Client(runtime.address)
        served_texts = client.vectors("texts", TEXT_VECTORS, texts, bars)
        served_images = client.vectors("images", IMAGE_VECTORS, [image.text for image in images], bars)
        client.close()
    _check_norms("texts", served_texts, expected_texts)
    _check_norms("images", served_images, expected_images)
    text_cosines, image_cosines = cosines(served_texts, expected_texts), cosines(served_images, expected_images)
    tokens = [min(len(tokenizer.encode(text).ids), encoder.max_tokens) for text in texts]
    requests = [
        *_golden("texts", TEXT_VECTORS, golden_texts, expected_texts, text_cosines, plan),
        *_golden("images", IMAGE_VECTORS, [i.text for i in golden_pictures], expected_images, image_cosines, plan),
    ]
    count = len(texts) - len(golden_texts)
    measured_texts = _measured(texts, tokens, text_cosines)
    measured_images = _measured([image.name for image in images], [0] * len(images), image_cosines)
    pictures = len(images) - len(golden_pictures)
    return ClipVerification(
        MeasuredClass(plan.cpu_class, summarize(text_cosines[:count]), measured_texts[:count], measured_texts[count:]),
        MeasuredClass(
            plan.cpu_class, summarize(image_cosines[:pictures]), measured_images[:pictures], measured_images[pictures:]
        ),
        Golden(tuple(requests)),
    )


def _check_norms(field: str, served: Vectors, expected: Vectors) -> None:
    """Raises ``VerificationFailed`` where a vector is longer or shorter than the original's."""
    lengths, wanted = np.linalg.norm(served, axis=1), np.linalg.norm(expected, axis=1)
    worst = float(np.max(np.abs(lengths - wanted) / np.maximum(wanted, np.finfo(np.float32).tiny)))
    # NOTE: negated, because every comparison with NaN is false.
    if not worst <= MAX_NORM_ERROR:
        raise VerificationFailed(
            f"the length of a vector of {field} is {worst:.1%} off the original's (at most {MAX_NORM_ERROR:.0%})"
        )


def _golden(
    field: str,
    answer: str,
    items: Sequence[str],
    expected: Vectors,
    values: NDArray[np.float64],
    plan: VerificationPlan,
) -> list[GoldenRequest]:
    """A request for each item; they are the last ones that were measured."""
    requests = []
    for item, vector, cosine in zip(items, expected[-len(items) :], values[-len(items) :], strict=True):
        components = [round(component, VECTOR_DECIMALS) for component in vector.tolist()]
        floor = round(1 - LOSS_FACTOR * (1 - float(cosine)) - plan.tolerance, DECIMALS)
        requests.append(GoldenRequest(ROUTE, {field: [item]}, {answer: [components]}, Tolerance(min_cosine=floor)))
    return requests


def _measured(names: Sequence[str], tokens: Sequence[int], values: NDArray[np.float64]) -> tuple[MeasuredText, ...]:
    """Numbered from 1."""
    return tuple(
        MeasuredText(number, name, None, None, count, round(cosine, DECIMALS))
        for number, (name, count, cosine) in enumerate(zip(names, tokens, values.tolist(), strict=True), 1)
    )


class _Client:
    """Asks the runtime for vectors of texts or images."""

    def __init__(self, address: str) -> None:
        self._client = VectorsClient("the runtime", address, seconds=REQUEST_SECONDS)

    def vectors(self, field: str, answer: str, items: Sequence[str], bars: bool) -> Vectors:
        """(items, dim). Raises ``VerificationFailed``."""
        groups = [items[at : at + ITEMS] for at in range(0, len(items), ITEMS)]
        found: list[Any] = []
        for group in tqdm(groups, desc=f"Served {field}", disable=not bars):
            found += self._ask(field, answer, group)
        return np.asarray(found, dtype=np.float32)

    def close(self) -> None:
        self._client.close()

    def _ask(self, field: str, answer: str, items: Sequence[str]) -> list[Any]:
        try:
            body = self._client.post(ROUTE, {field: list(items)}, f"{len(items)} {field}")
        except ContainerFailed as error:
            raise VerificationFailed(str(error)) from None
        vectors: list[Any] = json.loads(body)[answer]
        if len(vectors) != len(items):
            raise VerificationFailed(f"the runtime answered {len(items)} {field} with {len(vectors)} vectors")
        return vectors
