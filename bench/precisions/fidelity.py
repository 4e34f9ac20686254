"""Compares the vectors of every variant with the original's, through the real server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.original import reference_vectors
from bench.precisions.sts import Pairs, agreement, read_pairs
from bench.precisions.variants import Variant
from bench.progress import Log
from build.compare.neighbors import neighbors, shared
from build.fidelity.cosine import cosines, summarize
from build.fidelity.requests import heldout_texts
from build.fidelity.runtime_process import AS_THE_ORIGINAL, serve

HELD_OUT = "held-out"
LANGUAGES = {"en-dev.csv": "English", "de-dev.csv": "German", "zh-dev.csv": "Chinese"}
NEIGHBORS = 10

HEADER = ("texts", "weights", "cosine mean", "1st percentile", "minimum", "Spearman × 100", "loss", "top 10")
NOTHING = "–"


@dataclass(frozen=True)
class TextSet:
    """Texts with the original's vectors."""

    name: str
    texts: tuple[str, ...]
    reference: NDArray[np.float32]
    pairs: Pairs | None
    """Pairs of the texts that people have scored for similarity."""


def text_sets(directory: Path, stsb: Path | None, log: Log) -> Iterator[TextSet]:
    """The held-out texts, and the pairs in ``stsb`` if it is given. Raises ``SetupFailed``."""
    held_out = tuple(heldout_texts())
    yield TextSet(HELD_OUT, held_out, reference_vectors(directory, list(held_out)), None)
    if stsb is None:
        return
    for name, language in LANGUAGES.items():
        pairs = read_pairs(stsb / name)
        log(f"embedding {len(pairs.sentences)} sentences in {language} with the original")
        reference = reference_vectors(directory, list(pairs.sentences))
        yield TextSet(f"STS-B, {language}", pairs.sentences, reference, pairs)


def fidelity_rows(variants: Mapping[str, Variant], sets: Sequence[TextSet], log: Log) -> list[list[str]]:
    """A row for each set and variant, under ``HEADER``. Raises ``BuildError``."""
    rows = []
    for name, variant in variants.items():
        isa = {"KERNELS_ISA": variant.isa} if variant.isa else {}
        with serve(variant.bundle, {**AS_THE_ORIGINAL, **isa}) as client:
            for texts in sets:
                log(f"{name}: {len(texts.texts)} texts of {texts.name}")
                served = np.stack([client.embed(text) for text in texts.texts])
                rows.append([texts.name, name, *_figures(texts, served)])
    order = [texts.name for texts in sets]
    return sorted(rows, key=lambda row: order.index(row[0]))


def _figures(texts: TextSet, served: NDArray[np.float32]) -> list[str]:
    summary = summarize(cosines(served, texts.reference))
    k = min(NEIGHBORS, len(texts.texts) - 1)
    kept = shared(neighbors(served, served, k), neighbors(texts.reference, texts.reference, k))
    correlation = [NOTHING, NOTHING]
    if texts.pairs is not None:
        score = agreement(texts.pairs, served)
        correlation = [f"{score:.2f}", f"{agreement(texts.pairs, texts.reference) - score:.3f}"]
    figures = [f"{value:.5f}" for value in (summary.mean, summary.p1, summary.minimum)]
    return [*figures, *correlation, f"{kept:.3f}"]
