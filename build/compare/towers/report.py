"""Formats the result of a comparison of texts and images: a short table for people, JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict

from build.compare.figures import Figures
from build.compare.report import cosine_rows, describe_finding, describe_lengths, furthest_rows, overlap_rows
from build.compare.table import format_rows, listed, new_facts, new_rows
from build.compare.towers.compare import IMAGES, TEXTS, TowerComparison, TowerOptions
from build.compare.verdict import FEW_TEXTS, MAX_LENGTH_RATIO, MIN_COSINE_P1, MIN_MIXED_OVERLAP


def tower_table(options: TowerOptions, comparison: TowerComparison) -> str:
    """Lines with a name and a value each, tower by tower; the last ones are the verdict and its reasons."""
    judgment, towers = comparison.judgment, comparison.towers
    findings = [
        f"{name}: {describe_finding(finding)}" for name, found in comparison.findings.items() for finding in found
    ]
    rows = [
        ("old", f"{options.old}: {towers[TEXTS].old_dim} components"),
        *new_rows(options.new, comparison.manifest, f"{towers[TEXTS].new_dim} components"),
        *_rows(TEXTS, "", comparison),
        *_rows(IMAGES, f" {comparison.image_source}", comparison),
        ("verdict", judgment.verdict),
        *listed("because", judgment.reasons),
        *listed("why", findings),
        *listed("note", judgment.notes),
    ]
    return format_rows(rows)


def towers_as_json(options: TowerOptions, comparison: TowerComparison) -> str:
    """All figures, the limits that they must meet, the verdict and its reasons. The token is left out."""
    value = {
        "old": str(options.old),
        "new": new_facts(options.new, comparison.manifest),
        "images": comparison.image_source,
        "repeated": comparison.repeated,
        "figures": {name: asdict(figures) for name, figures in comparison.towers.items()},
        "limits": {
            "cosine_p1": MIN_COSINE_P1,
            "mixed_overlap": MIN_MIXED_OVERLAP,
            "length_ratio": MAX_LENGTH_RATIO,
            "few_items": FEW_TEXTS,
        },
        **asdict(comparison.judgment),
        "findings": {name: [asdict(finding) for finding in found] for name, found in comparison.findings.items()},
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _rows(tower: str, source: str, comparison: TowerComparison) -> list[tuple[str, str]]:
    figures, repeated = comparison.towers[tower], comparison.repeated[tower]
    left_out = f" ({repeated} repeated ones left out)" if repeated else ""
    return [
        (tower, f"{figures.texts}{source}{left_out}"),
        *cosine_rows(figures.cosines),
        ("lengths", _lengths(figures)),
        *overlap_rows(figures, tower),
        *furthest_rows(figures),
    ]


def _lengths(figures: Figures) -> str:
    low, high = figures.length_ratios
    both = f"old {describe_lengths(figures.old_lengths)}, new {describe_lengths(figures.new_lengths)}"
    return f"{both}; new over old {low:.3f} to {high:.3f} (1st to 99th percentile)"
