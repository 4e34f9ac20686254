"""Serves a reranker's bundle with the real runtime and compares its logits with the original's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from build.errors import ContainerFailed, VerificationFailed
from build.fidelity.client import VectorsClient
from build.fidelity.cpu_classes import LOSS_FACTOR, VerificationPlan
from build.fidelity.report import ClassScores, QueryScores, ScoreReport
from build.fidelity.runtime_process import REQUEST_SECONDS, serve
from build.fidelity.thresholds import ThresholdOverrides
from build.precisions import PrecisionSpec
from build.pytorch.cross_encoder import RerankReference
from build.ranking.figures import Logits, figures_of, kendall_tau, relative_rms, rounded, spread_of
from build.ranking.gate import default_thresholds
from build.ranking.golden import RERANK_ROUTE, golden_queries, golden_request, max_error_of, rerank_body
from build.ranking.heldout import HeldoutQuery, heldout_queries
from manifest import Golden, RerankModel

WORST = 10
"""So many queries are reported."""


@dataclass(frozen=True)
class RerankVerification:
    """The comparison of a reranker's bundle with its original."""

    report: ScoreReport
    golden: Golden
    """What a server checks."""


def verify_scores(
    bundle: Path,
    model: RerankModel,
    reference: RerankReference,
    plan: VerificationPlan,
    spec: PrecisionSpec,
    overrides: ThresholdOverrides,
    bars: bool,
) -> RerankVerification:
    """Measure the held-out queries. Raises ``VerificationFailed``."""
    heldout = heldout_queries()
    golden = golden_queries(reference.tokenizer(), model.encoder.max_tokens)
    expected = _originals(reference, [*heldout, *golden], bars)
    reference.release()  # PERF: the original and the server need not fit into memory together.
    originals = expected[: len(heldout)]
    with serve(bundle, {}) as runtime:
        served = _served(runtime.address, [*heldout, *golden], bars)
    thresholds = overrides.over(default_thresholds(spec))
    found = ClassScores(plan.cpu_class, figures_of(served[: len(heldout)], originals), thresholds)
    requests = []
    for query, ours, logits in zip(golden, served[len(heldout) :], expected[len(heldout) :], strict=True):
        # NOTE: a document may happen to have no error at all, so that the mean error on held-out pairs is the least.
        error = max(float(np.abs(ours - logits).max()), found.figures.error_mean)
        allowed = max_error_of(error, float(np.abs(logits).max()), LOSS_FACTOR, plan.tolerance)
        requests.append(golden_request(query, logits, allowed))
    worst = _worst(heldout, served[: len(heldout)], originals)
    return RerankVerification(ScoreReport((found,), worst), Golden(tuple(requests)))


def _worst(
    queries: Sequence[HeldoutQuery], served: Sequence[Logits], original: Sequence[Logits]
) -> tuple[QueryScores, ...]:
    spread = spread_of(np.concatenate(original))
    found = [
        QueryScores(query.query, rounded(kendall_tau(ours, theirs)), relative_rms(ours, theirs, spread))
        for query, ours, theirs in zip(queries, served, original, strict=True)
    ]
    return tuple(sorted(found, key=lambda query: (query.rank_agreement, -query.error_rms))[:WORST])


def _originals(reference: RerankReference, queries: Sequence[HeldoutQuery], bars: bool) -> list[Logits]:
    logits = reference.logits([pair for query in queries for pair in query.pairs], bars).astype(np.float64)
    ends = np.cumsum([len(query.documents) for query in queries])[:-1]
    return np.split(logits, ends)


def _served(address: str, queries: Sequence[HeldoutQuery], bars: bool) -> list[Logits]:
    """What the runtime answers, one request after another."""
    client = VectorsClient("the runtime", address, seconds=REQUEST_SECONDS)
    try:
        return [_ask(client, query) for query in tqdm(queries, desc="Served", disable=not bars)]
    finally:
        client.close()


def _ask(client: VectorsClient, query: HeldoutQuery) -> Logits:
    try:
        answer = json.loads(client.post(RERANK_ROUTE, rerank_body(query), repr(query.query)))
        scores = {entry["index"]: float(entry["score"]) for entry in answer}
    except ContainerFailed as error:
        raise VerificationFailed(str(error)) from None
    except (ValueError, TypeError, KeyError) as error:
        raise VerificationFailed(f"the runtime's answer to {query.query!r} has no scores: {error}") from None
    if sorted(scores) != list(range(len(query.documents))):
        raise VerificationFailed(f"the runtime's answer to {query.query!r} does not have one score per document")
    return np.array([scores[index] for index in range(len(scores))], dtype=np.float64)
