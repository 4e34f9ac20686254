"""Prints what a comparison came to: a short table for people, JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict

from build.compare.causes import Finding
from build.compare.compare import Order, Outcome
from build.compare.figures import Cosines, Figures, Lengths
from build.compare.verdict import FEW_TEXTS, MAX_LENGTH_RATIO, MIN_COSINE_P1, MIN_MIXED_OVERLAP

BAR = 40
SHOWN_CHARACTERS = 70
AS_ONE = 0.99995
"""From here on a cosine is shown as 1.0000, and its text is not worth a line."""


def table(order: Order, outcome: Outcome) -> str:
    """Lines of «name  value», which end in the verdict and its reasons."""
    figures, manifest, judgement = outcome.figures, outcome.manifest, outcome.judgement
    repeated = f" ({outcome.repeated} repeated ones left out)" if outcome.repeated else ""
    rows = [
        ("texts", f"{figures.texts}{repeated}"),
        ("old", f"{order.old}: {figures.old_dim} components, {_lengths(figures.old_lengths)}"),
        ("new", f"{order.bundle}: {figures.new_dim} components, {_lengths(figures.new_lengths)}"),
        ("", f"{manifest.model}, {manifest.precision} for {manifest.target}"),
        *_cosine_rows(figures.cosines),
        *_overlap_rows(figures),
        *_furthest_rows(figures),
        ("verdict", judgement.verdict),
        *_listed("because", judgement.reasons),
        *_listed("why", tuple(_says(finding) for finding in outcome.findings)),
        *_listed("note", judgement.notes),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(_printable(f"{name:<{width}}  {value}") for name, value in rows)


def as_json(order: Order, outcome: Outcome) -> str:
    """All figures, the limits that they were held against, the verdict and its reasons. No token."""
    manifest = outcome.manifest
    value = {
        "old": order.old,
        "new": {
            "bundle": str(order.bundle),
            "model": manifest.model,
            "revision": manifest.source.revision,
            "precision": manifest.precision,
            "target": manifest.target,
        },
        "request": order.config,
        "repeated": outcome.repeated,
        "figures": asdict(outcome.figures),
        "limits": {
            "cosine_p1": MIN_COSINE_P1,
            "mixed_overlap": MIN_MIXED_OVERLAP,
            "length_ratio": MAX_LENGTH_RATIO,
            "few_texts": FEW_TEXTS,
        },
        **asdict(outcome.judgement),
        "findings": [asdict(finding) for finding in outcome.findings],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _cosine_rows(cosines: Cosines | None) -> list[tuple[str, str]]:
    if cosines is None:
        return [("cosine", "none: the vectors differ in their number of components")]
    head = (
        f"mean {cosines.mean:.4f}, median {cosines.median:.4f}, 1st percentile {cosines.p1:.4f}, "
        f"minimum {cosines.minimum:.4f}"
    )
    most = max(one.texts for one in cosines.histogram)
    filled = [number for number, one in enumerate(cosines.histogram) if one.texts]
    shown = cosines.histogram[filled[0] : filled[-1] + 1]
    bars = [f"{one.low:>6g} to {one.high:<5g} {one.texts:>6} {'#' * -(-one.texts * BAR // most)}" for one in shown]
    return [("cosine", head), *(("", bar.rstrip()) for bar in bars)]


def _overlap_rows(figures: Figures) -> list[tuple[str, str]]:
    overlap = figures.overlap
    own = f"{overlap.own:.1%} stay once all texts are imported again"
    if overlap.mixed is None:
        return [("neighbours", f"of the {overlap.k} nearest, {own}")]
    mixed = f"of the {overlap.k} nearest, new vectors find {overlap.mixed:.1%} in the old index"
    return [("neighbours", mixed), ("", own)]


def _furthest_rows(figures: Figures) -> list[tuple[str, str]]:
    lines = [f"{one.cosine:.4f}  {_shortened(one.text)}" for one in figures.furthest if one.cosine < AS_ONE]
    return list(zip(["furthest", *[""] * (len(lines) - 1)], lines, strict=True)) if lines else []


def _listed(name: str, sentences: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name if number == 0 else "", sentence) for number, sentence in enumerate(sentences)]


def _says(finding: Finding) -> str:
    after = "" if finding.cosine is None else f" (allowing for that, the mean cosine is {finding.cosine:.4f})"
    return f"{finding.cause}: {finding.says}{after}"


def _lengths(lengths: Lengths) -> str:
    return "unit length" if lengths.unit else f"lengths {lengths.minimum:.3g} to {lengths.maximum:.3g}"


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


def _printable(line: str) -> str:
    """What stands in a text cannot break the table or steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in line).rstrip()
