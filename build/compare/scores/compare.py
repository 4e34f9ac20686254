"""Compares a running reranker with a new bundle on the user's own queries: the steps, in order."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from build.compare.client import RERANK, Container, connect
from build.compare.scores.ask import ask
from build.compare.scores.causes import ScoreFinding, find_score_causes
from build.compare.scores.figures import RankingFigures, Scores, measure
from build.compare.scores.queries import Query, read_queries
from build.compare.scores.verdict import differ, judge
from build.compare.sides import NOT_EXPLAINED, NewSide, counted, manifest_of, opened
from build.compare.verdict import Judgment, Verdict
from build.errors import NoScores
from build.fidelity.client import VectorsClient
from build.progress import Progress
from manifest import Manifest

SCORE_STAGES = ("score", "measure", "explain")
"""The stages of a comparison, in order."""


@dataclass(frozen=True)
class ScoreOptions:
    """What to compare, and how to ask for scores."""

    old: Container
    new: NewSide
    queries: Path
    seconds: float
    """The limit for one answer."""


@dataclass(frozen=True)
class ScoreComparison:
    """The result: what was measured, the verdict, and why the scores differ."""

    manifest: Manifest | None
    """The new bundle's; None where the new side is a running container."""
    repeated: int
    """The number of repeated documents that were left out."""
    figures: RankingFigures
    judgment: Judgment
    findings: tuple[ScoreFinding, ...]
    """Empty where the scores need no explanation."""


def compare_scores(options: ScoreOptions, progress: Progress) -> ScoreComparison:
    """Request all scores from both, measure, judge. Raises ``BuildError`` or ``BundleError``."""
    with closing(connect(options.old, options.seconds, RERANK)) as old_container:
        manifest = manifest_of(options.new)
        own = read_queries(options.queries)
        with progress.stage("score", f"{len(own.queries)} queries, by {options.old} and by {options.new}"):
            # NOTE: a wrong address is reported before a large model is loaded.
            ask(old_container, own.queries[0])
            old = _scores(old_container, own.queries, progress)
            _require_order(old, old_container)
            new = _served(options, own.queries, progress)
    with progress.stage("measure", "errors, order, best documents"):
        figures = measure(own.queries, old, new)
        judgment = judge(figures)
    findings: tuple[ScoreFinding, ...] = ()
    with progress.stage("explain", "by the bundle's logits, if the scores differ"):
        if differ(figures) or judgment.verdict is not Verdict.DROP_IN:
            if manifest is None:
                judgment = replace(judgment, notes=(*judgment.notes, NOT_EXPLAINED))
                return ScoreComparison(manifest, own.repeated, figures, judgment, findings)
            logits = _served(options, own.queries, progress, raw=True)
            findings = find_score_causes(old, new, logits, judgment.verdict)
    return ScoreComparison(manifest, own.repeated, figures, judgment, findings)


def _require_order(scores: list[Scores], container: VectorsClient) -> None:
    """Raise ``NoScores`` if all documents of all queries have one score, which any other order would agree with."""
    first = scores[0][0]
    if all((each == first).all() for each in scores):
        raise NoScores(f"{container.name} gives every document the score {first:g}: there is no order to compare")


def _served(
    options: ScoreOptions, queries: tuple[Query, ...], progress: Progress, *, raw: bool = False
) -> list[Scores]:
    """What the new side answers."""
    with opened(options.new, options.seconds, route=RERANK) as container:
        return _scores(container, queries, progress, raw=raw)


def _scores(
    client: VectorsClient, queries: tuple[Query, ...], progress: Progress, *, raw: bool = False
) -> list[Scores]:
    """One array, (documents,), for each query."""
    return [ask(client, query, raw=raw) for query in counted(queries, "scored", progress)]
