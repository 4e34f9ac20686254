"""Decides whether one reranker can take another's place, and says why. Pure functions."""

from __future__ import annotations

from build.compare.scores.figures import RankingFigures
from build.compare.verdict import Judgment, Verdict
from build.ranking.gate import INT8

MIN_RANK_AGREEMENT = INT8.rank_agreement
MIN_TOP_KEPT = INT8.top_kept
MAX_ERROR_RMS = INT8.error_rms
"""A bundle that passes its gate on every CPU is a drop-in replacement for its original, so these are the gate's."""

FEW_QUERIES = 20
"""With fewer queries than this, a single one decides about the share of best documents that are kept."""


def judge(figures: RankingFigures) -> Judgment:
    """The verdict from the order of the documents alone, since whoever asks sorts by the scores."""
    scores = figures.scores
    rows = (
        (scores.rank_agreement >= MIN_RANK_AGREEMENT, _agreement(scores.rank_agreement)),
        (scores.top_kept >= MIN_TOP_KEPT, _top(scores.top_kept)),
    )
    faults = tuple(sentence for is_met, sentence in rows if not is_met)
    few = _few(figures)
    if faults:
        return Judgment(Verdict.OTHER_RANKINGS, faults, few)
    return Judgment(
        Verdict.DROP_IN, (", and ".join(sentence for _, sentence in rows),), (*_other_scores(figures), *few)
    )


def differ(figures: RankingFigures) -> bool:
    """Whether the scores themselves differ by more than rounding, whatever the order."""
    return figures.scores.error_rms > MAX_ERROR_RMS


def _agreement(value: float) -> str:
    return f"Kendall's tau is {value:.4f} on average (required: {MIN_RANK_AGREEMENT})"


def _top(value: float) -> str:
    return f"{value:.1%} of the queries keep their best document (required: {MIN_TOP_KEPT:.0%})"


def _other_scores(figures: RankingFigures) -> tuple[str, ...]:
    if not differ(figures):
        return ()
    return (
        f"the scores differ by more than {MAX_ERROR_RMS:.0%} of their spread: the verdict holds for the order of "
        "documents; whatever compares scores with a fixed limit needs another limit",
    )


def _few(figures: RankingFigures) -> tuple[str, ...]:
    if figures.queries >= FEW_QUERIES:
        return ()
    counted = "1 query" if figures.queries == 1 else f"{figures.queries} queries"
    return (f"the verdict is based on only {counted}; use a hundred of your own",)
