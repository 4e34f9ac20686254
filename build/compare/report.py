"""Formats the result of a comparison: a short table for people, JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict

from build.command_line import clip
from build.compare.causes import Finding
from build.compare.compare import CompareOptions, Comparison
from build.compare.figures import Cosines, Figures, Lengths
from build.compare.table import CLIPPED_TEXT, format_rows, listed, new_facts, new_rows
from build.compare.verdict import FEW_TEXTS, MAX_LENGTH_RATIO, MIN_COSINE_P1, MIN_MIXED_OVERLAP

BAR_WIDTH = 40
"""The longest bar of the histogram has this many characters."""

ROUNDS_TO_ONE = 0.99995
"""From here on, a cosine rounds to 1.0000, and its text does not need a line."""


def table(options: CompareOptions, comparison: Comparison) -> str:
    """Lines with a name and a value each; the last ones are the verdict and its reasons."""
    figures, judgment = comparison.figures, comparison.judgment
    repeated = f" ({comparison.repeated} repeated lines left out)" if comparison.repeated else ""
    lengths = describe_lengths(figures.new_lengths)
    rows = [
        ("texts", f"{figures.texts}{repeated}"),
        ("old", f"{options.old}: {figures.old_dim} components, {describe_lengths(figures.old_lengths)}"),
        *new_rows(options.new, comparison.manifest, f"{figures.new_dim} components, {lengths}"),
        *cosine_rows(figures.cosines),
        *overlap_rows(figures),
        *furthest_rows(figures),
        ("verdict", judgment.verdict),
        *listed("because", judgment.reasons),
        *listed("why", tuple(describe_finding(finding) for finding in comparison.findings)),
        *listed("note", judgment.notes),
    ]
    return format_rows(rows)


def as_json(options: CompareOptions, comparison: Comparison) -> str:
    """All figures, the limits that they must meet, the verdict and its reasons. The token is left out."""
    value = {
        "old": str(options.old),
        "new": new_facts(options.new, comparison.manifest),
        "request": options.config,
        "repeated": comparison.repeated,
        "figures": asdict(comparison.figures),
        "limits": {
            "cosine_p1": MIN_COSINE_P1,
            "mixed_overlap": MIN_MIXED_OVERLAP,
            "length_ratio": MAX_LENGTH_RATIO,
            "few_texts": FEW_TEXTS,
        },
        **asdict(comparison.judgment),
        "findings": [asdict(finding) for finding in comparison.findings],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def cosine_rows(cosines: Cosines | None) -> list[tuple[str, str]]:
    """The figures, and a histogram."""
    if cosines is None:
        return [("cosine", "none: the vectors have different sizes")]
    head = (
        f"mean {cosines.mean:.4f}, median {cosines.median:.4f}, 1st percentile {cosines.p1:.4f}, "
        f"minimum {cosines.minimum:.4f}"
    )
    most = max(entry.texts for entry in cosines.histogram)
    filled = [index for index, entry in enumerate(cosines.histogram) if entry.texts]
    bins = cosines.histogram[filled[0] : filled[-1] + 1]
    bars = [f"{entry.low:>6g} to {entry.high:<5g} {entry.texts:>6} {_bar(entry.texts, most)}" for entry in bins]
    return [("cosine", head), *(("", bar.rstrip()) for bar in bars)]


def _bar(texts: int, most: int) -> str:
    """At least one character for any text."""
    return "#" * -(-texts * BAR_WIDTH // most)


def overlap_rows(figures: Figures, items: str = "texts") -> list[tuple[str, str]]:
    """The neighbors of all ``items``."""
    overlap = figures.overlap
    own = f"{overlap.own:.1%} are the same once all {items} are imported again"
    if overlap.mixed is None:
        return [("neighbors", f"of the {overlap.k} nearest, {own}")]
    mixed = f"of the {overlap.k} nearest, new vectors find {overlap.mixed:.1%} in the old index"
    return [("neighbors", mixed), ("", own)]


def furthest_rows(figures: Figures) -> list[tuple[str, str]]:
    """Those that differ visibly, with their cosines."""
    different = [furthest for furthest in figures.furthest if furthest.cosine < ROUNDS_TO_ONE]
    return listed("furthest", [f"{furthest.cosine:.4f}  {clip(furthest.text, CLIPPED_TEXT)}" for furthest in different])


def describe_finding(finding: Finding) -> str:
    """One sentence."""
    after = "" if finding.cosine is None else f" (allowing for that, the mean cosine is {finding.cosine:.4f})"
    return f"{finding.cause}: {finding.text}{after}"


def describe_lengths(lengths: Lengths) -> str:
    """A few words."""
    return "unit length" if lengths.unit else f"lengths {lengths.minimum:.3g} to {lengths.maximum:.3g}"
