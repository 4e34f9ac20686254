"""Formats the result of a comparison of rerankers: a short table for people, JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict

from build.command_line import clip
from build.compare.scores.compare import ScoreComparison, ScoreOptions
from build.compare.scores.figures import Range, RankingFigures
from build.compare.scores.verdict import FEW_QUERIES, MAX_ERROR_RMS, MIN_RANK_AGREEMENT, MIN_TOP_KEPT
from build.compare.table import CLIPPED_TEXT, format_rows, listed, new_facts, new_rows


def score_table(options: ScoreOptions, comparison: ScoreComparison) -> str:
    """Lines with a name and a value each; the last ones are the verdict and its reasons."""
    figures, judgment = comparison.figures, comparison.judgment
    repeated = f" ({comparison.repeated} repeated ones left out)" if comparison.repeated else ""
    scores = figures.scores
    rows = [
        ("queries", f"{figures.queries}, with {scores.count} documents{repeated}"),
        ("old", f"{options.old}: {_range(figures.old_scores)}"),
        *new_rows(options.new, comparison.manifest, _range(figures.new_scores)),
        ("errors", f"mean {scores.error_mean:.4f}, maximum {scores.error_max:.4f}, RMS {_share(scores.error_rms)}"),
        ("order", f"Kendall's tau {scores.rank_agreement:.4f} on average"),
        ("top 1", f"{scores.top_kept:.1%} of the queries keep their best document"),
        *_furthest_rows(figures),
        ("verdict", judgment.verdict),
        *listed("because", judgment.reasons),
        *listed("why", [f"{finding.cause}: {finding.text}" for finding in comparison.findings]),
        *listed("note", judgment.notes),
    ]
    return format_rows(rows)


def scores_as_json(options: ScoreOptions, comparison: ScoreComparison) -> str:
    """All figures, the limits that they must meet, the verdict and its reasons. The token is left out."""
    value = {
        "old": str(options.old),
        "new": new_facts(options.new, comparison.manifest),
        "repeated": comparison.repeated,
        "figures": asdict(comparison.figures),
        "limits": {
            "rank_agreement": MIN_RANK_AGREEMENT,
            "top_kept": MIN_TOP_KEPT,
            "error_rms": MAX_ERROR_RMS,
            "few_queries": FEW_QUERIES,
        },
        **asdict(comparison.judgment),
        "findings": [asdict(finding) for finding in comparison.findings],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _range(scores: Range) -> str:
    return f"scores from {scores.minimum:.4g} to {scores.maximum:.4g}"


def _share(error: float) -> str:
    return f"{error:.2%} of the old scores' spread"


def _furthest_rows(figures: RankingFigures) -> list[tuple[str, str]]:
    different = [furthest for furthest in figures.furthest if furthest.rank_agreement < 1]
    return listed("furthest", [f"{each.rank_agreement:.4f}  {clip(each.query, CLIPPED_TEXT)}" for each in different])
