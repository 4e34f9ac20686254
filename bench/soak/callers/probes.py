"""Compares a sample of the answers with vectors that are known to be right.

There are two kinds of them. The bundle's golden requests have the original's vectors, and a cosine that is required.
Texts of all lengths have the vectors that the same server gave before the load, one text after another; under load, the
numbers must be the same.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import InvalidOption, LoadFailed
from bench.load.texts import words
from bench.load.vectors import Vectors, parse_vector, vector_request
from bench.load.wire import Request, post
from bench.server.fidelity import served_vectors
from bench.soak.callers.texts import endless_texts, log_uniform, text_of
from manifest import GOLDEN_FILE, Golden, from_json, read_text

VECTORS_ROUTE = "/vectors"
LARGE_BYTES = 1_000_000
TEXTS = 64
SAMPLED = 0.125
"""This share of all requests is a probe."""

MAX_DIFFERENCE = 1e-6
"""Between two answers to the same text, of each component. The server promises the same bits."""


@dataclass(frozen=True)
class Probe:
    """A request whose answer is known."""

    text: str
    request: Request
    expected: tuple[float, ...]
    min_cosine: float | None = None
    """None: the numbers themselves must be the same."""

    def fault(self, vector: Sequence[float]) -> str | None:
        """What is wrong with an answer; None if it is right."""
        if len(vector) != len(self.expected):
            return f"the answer has {len(vector)} components, not {len(self.expected)}"
        if self.min_cosine is not None:
            cosine = cosine_of(vector, self.expected)
            right = cosine >= self.min_cosine
            return None if right else f"the cosine to the original is {cosine:.6f}, below {self.min_cosine:.6f}"
        difference = max(abs(one - other) for one, other in zip(vector, self.expected, strict=True))
        return None if difference <= MAX_DIFFERENCE else f"a component is {difference:.2g} off what it was before"


@dataclass(frozen=True)
class Probes:
    """All that is known of one server's answers."""

    dim: int
    sample: tuple[Probe, ...]
    """Which are mixed into the requests."""
    large: Probe
    """A megabyte of text."""
    large_seconds: float
    """What it takes without a load."""


class ProbedVectors(Vectors):
    """The route ``/vectors``: of each answer the frame is checked, and of a probe's every number."""

    def __init__(self, probes: Probes) -> None:
        super().__init__(probes.dim)
        self._probes = {id(probe.request): probe for probe in (*probes.sample, probes.large)}
        self.compared = 0
        """How many answers were compared with what is known."""

    def check(self, response: bytes | bytearray, request: Request) -> None:
        probe = self._probes.get(id(request))
        if probe is None:
            super().check(response, request)
            return
        vector = parse_vector(response, probe.text)
        self.compared += 1
        if fault := probe.fault(vector):
            raise LoadFailed(f"{fault}: the text has {len(probe.text):,} characters and begins {probe.text[:40]!r}")


def known_answers(bundle: Path, port: int, seed: str) -> Probes:
    """Ask the server for what it will be compared with; nobody else may be asking. Raises ``LoadFailed``.

    Raises ``InvalidOption`` for a bundle that has no vectors.
    """
    golden = _golden(bundle, port)
    source, vocabulary = random.Random(f"{seed}, probes"), words()
    texts = [text_of(log_uniform(source), source, vocabulary) for _ in range(TEXTS)]
    large = text_of(LARGE_BYTES, source, vocabulary)
    probes = [_probe(text, vector, port) for text, vector in zip(texts, served_vectors(port, texts), strict=True)]
    start = time.perf_counter()
    (vector,) = served_vectors(port, [large])
    return Probes(len(vector), (*golden, *probes), _probe(large, vector, port), time.perf_counter() - start)


def requests(probes: Probes, port: int, seed: str) -> Iterator[Request]:
    """Requests without end, some of them probes."""
    source = random.Random(f"{seed}, sample")
    for text in endless_texts(seed):
        is_probe = source.random() < SAMPLED
        yield source.choice(probes.sample).request if is_probe else vector_request(text, port)


def cosine_of(left: Sequence[float], right: Sequence[float]) -> float:
    """Two zero vectors are equal: 1. A zero one and any other: 0."""
    product = sum(one * other for one, other in zip(left, right, strict=True))
    norms = math.hypot(*left) * math.hypot(*right)
    return product / norms if norms else float(not any(left) and not any(right))


def _probe(text: str, vector: NDArray[np.float32], port: int) -> Probe:
    return Probe(text, vector_request(text, port), tuple(vector.tolist()))


def _golden(bundle: Path, port: int) -> list[Probe]:
    golden = from_json(Golden, read_text(bundle, GOLDEN_FILE), GOLDEN_FILE)
    entries = [entry for entry in golden.requests if entry.route == VECTORS_ROUTE]
    if not entries:
        raise InvalidOption(f"the bundle must answer {VECTORS_ROUTE}: {bundle} has no golden request for it")
    return [
        Probe(
            entry.body["text"],
            Request(entry.body["text"].encode(), post(VECTORS_ROUTE, entry.body, port)),
            tuple(entry.answer["vector"]),
            entry.tolerance.min_cosine,
        )
        for entry in entries
    ]
