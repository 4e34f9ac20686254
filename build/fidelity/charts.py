"""Draws the two charts of the fidelity page, as SVG without script or reference. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from build.fidelity.report import LengthFigures

WIDTH, LEFT, RIGHT = 480, 12, 468
FEWEST_BINS, MOST_BINS = 10, 24
NARROWEST = 1e-6
"""A bin's width in cosine: figures have six decimals."""

BARS_TOP, BARS_BOTTOM = 24, 150
ROW = 26
BAR_LEFT, BAR_RIGHT = 92, 396


def histogram(cosines: Sequence[float]) -> str:
    """How many texts have which cosine: from below the lowest of them up to 1, in equal bins of a round width."""
    low, width = _scale(min(cosines))
    bins = round((1 - low) / width)
    counts = [0] * bins
    for cosine in cosines:
        # NOTE: a cosine that lies on a border belongs above it, whatever the division made of its last bit.
        counts[max(0, min(bins - 1, math.floor((cosine - low) / width + 1e-6)))] += 1
    step = (RIGHT - LEFT) / bins
    parts = []
    for number, count in enumerate(counts):
        height = (BARS_BOTTOM - BARS_TOP) * count / max(counts)
        x, y = LEFT + number * step, BARS_BOTTOM - height
        if count:
            parts.append(
                f'<rect class="bar" x="{x + 1:.1f}" y="{y:.1f}" width="{step - 2:.1f}" height="{height:.1f}"/>'
            )
            parts.append(f'<text class="count" x="{x + step / 2:.1f}" y="{y - 4:.1f}">{count}</text>')
    decimals = max(2, -math.floor(math.log10(width) + 1e-9))
    for tick in (0, bins // 2, bins):
        anchor = "start" if tick == 0 else "end" if tick == bins else "middle"
        x, label = LEFT + tick * step, f"{low + tick * width:.{decimals}f}"
        parts.append(f'<path class="axis" d="M{x:.1f} {BARS_BOTTOM}v5"/>')
        parts.append(f'<text x="{x:.1f}" y="{BARS_BOTTOM + 20}" text-anchor="{anchor}">{label}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {BARS_BOTTOM}H{RIGHT}"/>')
    title = "Histogram of cosines to the original"
    told = f"{len(cosines)} texts in bins {width:.{decimals}f} wide, from {low:.{decimals}f} to 1."
    return _svg("histogram", BARS_BOTTOM + 28, title, told, parts)


def error_by_length(lengths: Sequence[LengthFigures]) -> str:
    """Each bin's distance from 1: the bar is that of the mean cosine, the mark that of the lowest."""
    most = max([1 - one.cosine_min for one in lengths] + [NARROWEST])
    scale = (BAR_RIGHT - BAR_LEFT) / most
    parts = []
    for number, one in enumerate(lengths):
        y = number * ROW + 4
        mean, worst = 1 - one.cosine_mean, 1 - one.cosine_min
        end = BAR_LEFT + max(0.0, worst) * scale
        parts.append(f'<text x="{BAR_LEFT - 8}" y="{y + 14}" text-anchor="end">{span_of(one)}</text>')
        parts.append(
            f'<rect class="bar" x="{BAR_LEFT}" y="{y + 3}" width="{max(0.0, mean) * scale:.1f}" height="{ROW - 12}"/>'
        )
        parts.append(f'<path class="range" d="M{BAR_LEFT} {y + 10}H{end:.1f}M{end:.1f} {y + 4}v12"/>')
        parts.append(f'<text x="{end + 6:.1f}" y="{y + 14}">{max(0.0, worst):.6f}</text>')
    parts.append(f'<path class="axis" d="M{BAR_LEFT} 0V{len(lengths) * ROW + 4}"/>')
    title = "Distance from the original by length of text in tokens"
    told = "One row a length: the bar is 1 minus the mean cosine, the mark and the number are 1 minus the lowest."
    return _svg("lengths", len(lengths) * ROW + 8, title, told, parts)


def span_of(one: LengthFigures) -> str:
    """«9–16», or «257 and more»."""
    return f"{one.first}–{one.last}" if one.last is not None else f"{one.first} or more"


def _scale(lowest: float) -> tuple[float, float]:
    """Where the first bin begins, and the width of a bin: 1, 2 or 5 times a power of ten, so that few bins suffice."""
    width = NARROWEST
    factors = (2, 2.5, 2)
    step = 0
    while (1 - lowest) / width > MOST_BINS:
        width *= factors[step % 3]
        step += 1
    return 1 - width * max(FEWEST_BINS, math.ceil((1 - lowest) / width - 1e-6)), width


def _svg(name: str, height: int, title: str, description: str, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{title}</title><desc id="{name}-desc">{description}</desc>{"".join(parts)}</svg>'
    )
