"""Scores pairs with sentence-transformers' ``CrossEncoder``: what all other scores are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.errors import LoadFailed
from bench.load.scores import parse_scores, score_request
from bench.rerank.loads import DOCUMENTS
from bench.server.fidelity import ask
from build.ranking.figures import Logits, figures_of
from build.ranking.heldout import HeldoutQuery, heldout_queries
from manifest import Fidelity

EVERY = 8
"""One of so many held-out queries is asked, because a large original takes minutes for all of them."""

LEAST_AGREEMENT = 0.8
"""Rankings that agree less are not the original's: documents are mixed up, or something else is."""


@dataclass(frozen=True)
class OriginalScores:
    """Implements ``Original``. The model's activation is the identity, so that scores are logits."""

    queries: Sequence[HeldoutQuery]
    logits: Sequence[Logits]
    """(documents,) for each query"""
    numbers: int = DOCUMENTS

    def compare(self, port: int) -> Fidelity:
        requests = [score_request(query.query, query.documents, port) for query in self.queries]
        served = [
            np.asarray(parse_scores(answer, query.query, query.documents), dtype=np.float64)
            for query, answer in zip(self.queries, ask(port, requests), strict=True)
        ]
        figures = figures_of(served, self.logits)
        if figures.rank_agreement < LEAST_AGREEMENT:
            raise LoadFailed(
                f"the order of documents is not the original's: their agreement is {figures.rank_agreement:.2f}, and "
                f"must be at least {LEAST_AGREEMENT:g}"
            )
        return Fidelity(scores=figures)


def cross_encoder_scores(directory: Path) -> OriginalScores:
    """What the original in a directory makes of held-out queries with their documents."""
    # PERF: imported here because torch takes seconds to load, and a wrong option should be reported at once.
    from bench.rerank.models import MAX_TOKENS
    from build.pytorch.cross_encoder import RerankReference

    queries = heldout_queries()[::EVERY]
    reference = RerankReference(directory, MAX_TOKENS, use_safetensors=True)
    logits = [reference.logits(query.pairs).astype(np.float64) for query in queries]
    reference.release()
    return OriginalScores(queries, logits)
