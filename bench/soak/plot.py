"""Draws a soak as SVG: memory, file descriptors, latency and goodput over time, in light and dark. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from bench.soak.results import Soak

WIDTH = 720
LEFT, RIGHT = 56, 32
TOP = 20
PANEL, GAP = 96, 46
"""The height of a panel, and what is between two for a title and labels."""

TICKS = 4
STYLE = """\
    text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #59636e; }
    .title { fill: #1f2328; font-weight: 600; }
    .card { fill: #ffffff; stroke: #d1d9e0; }
    .grid { stroke: #d1d9e0; }
    .restart { stroke: #afb8c1; stroke-dasharray: 3 3; }
    .line { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
    .even { stroke: #0969da; }
    .odd { stroke: #bf5700; }
    @media (prefers-color-scheme: dark) {
      text { fill: #9198a1; }
      .title { fill: #f0f6fc; }
      .card { fill: #0d1117; stroke: #3d444d; }
      .grid { stroke: #3d444d; }
      .restart { stroke: #656c76; }
      .even { stroke: #4493f8; }
      .odd { stroke: #f0883e; }
    }"""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Scale:
    """A vertical axis from ``low`` to ``high``; ``is_log``: equal factors are equally far from each other."""

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def height(self, value: float) -> float:
        """The share of the axis that is below the value, from 0 to 1."""
        bend: Callable[[float], float] = math.log if self.is_log else float
        value = min(max(value, self.low), self.high)
        return (bend(value) - bend(self.low)) / (bend(self.high) - bend(self.low))


@dataclass(frozen=True)
class Panel:
    title: str
    scale: Scale
    lines: Sequence[Points]
    """Drawn in two colors in turn."""


def plot(soak: Soak) -> str:
    """The picture, which says in words what it shows."""
    panels = _panels(soak)
    height = TOP + len(panels) * (PANEL + GAP) + 4
    description = escape("; ".join(_in_words(panel) for panel in panels))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'role="img" aria-labelledby="title description">',
        f'  <title id="title">{soak.seconds:.0f} s under load, with {len(soak.servers) - 1} replacements</title>',
        f'  <desc id="description">{description}.</desc>',
        f"  <style>\n{STYLE}\n  </style>",
        f'  <rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
    ]
    restarts = [server.asked_at for server in soak.servers if server.asked_at is not None]
    for number, panel in enumerate(panels):
        parts += _draw(panel, TOP + number * (PANEL + GAP), max(soak.seconds, 1.0), restarts)
    return "\n".join([*parts, "</svg>", ""])


def linear(highest: float) -> Scale:
    """From 0 to a round number that is not below ``highest``, in steps of 1, 2 or 5 times a power of ten."""
    step = 10.0 ** math.floor(math.log10(max(highest, 1e-9) / TICKS))
    factor = next(factor for factor in (1, 2, 5, 10) if factor * step * TICKS >= highest * (1 - 1e-9))
    count = max(1, math.ceil(highest / (factor * step) - 1e-9))
    return Scale(0.0, count * factor * step, tuple(number * factor * step for number in range(count + 1)))


def logarithmic(lowest: float, highest: float) -> Scale:
    """Between two powers of ten."""
    low = math.floor(math.log10(max(lowest, 1e-3)) + 1e-9)
    high = max(low + 1, math.ceil(math.log10(max(highest, 1e-3)) - 1e-9))
    return Scale(10.0**low, 10.0**high, tuple(10.0**power for power in range(low, high + 1)), is_log=True)


def _panels(soak: Soak) -> list[Panel]:
    looks = [[look for look in soak.looks_at(server.number) if look.at <= soak.seconds] for server in soak.servers]
    memory = [[(look.at, look.rss_mb) for look in seen] for seen in looks]
    descriptors = [[(look.at, float(look.descriptors)) for look in seen] for seen in looks]
    answered = [window for window in soak.windows if window.answers]
    median, slowest = (
        [(window.at + window.seconds / 2, getattr(window, field) / 1e3) for window in answered]
        for field in ("p50_ms", "p99_ms")
    )
    goodput = [(window.at + window.seconds / 2, window.goodput) for window in soak.windows]
    return [
        Panel("Resident memory of each server, MB", linear(_highest(memory)), memory),
        Panel("File descriptors of each server", linear(_highest(descriptors)), descriptors),
        Panel(
            "Seconds until an answer: median (blue) and 99th percentile (orange)",
            logarithmic(min((y for _, y in median), default=1.0), _highest([slowest])),
            [median, slowest],
        ),
        Panel("Answers per second", linear(_highest([goodput])), [goodput]),
    ]


def _highest(lines: Sequence[Points]) -> float:
    return max((y for line in lines for _, y in line), default=1.0) or 1.0


def _draw(panel: Panel, top: float, seconds: float, restarts: Sequence[float]) -> list[str]:
    right, bottom = WIDTH - RIGHT, top + 12 + PANEL

    def x(at: float) -> float:
        return LEFT + (right - LEFT) * min(max(at / seconds, 0.0), 1.0)

    def y(value: float) -> float:
        return bottom - PANEL * panel.scale.height(value)

    parts = [f'  <text class="title" x="{LEFT}" y="{top + 4:g}">{escape(panel.title)}</text>']
    for tick in panel.scale.ticks:
        parts.append(f'  <path class="grid" d="M{LEFT} {y(tick):.1f}H{right}"/>')
        parts.append(f'  <text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    parts += [f'  <path class="restart" d="M{x(at):.1f} {top + 12:g}V{bottom:g}"/>' for at in restarts]
    for number, line in enumerate(panel.lines):
        if line:
            path = "L".join(f"{x(at):.1f} {y(value):.1f}" for at, value in line)
            parts.append(f'  <path class="line {"odd" if number % 2 else "even"}" d="M{path}"/>')
    step = linear(seconds / 60 if seconds >= 120 else seconds)
    unit, size = ("min", 60) if seconds >= 120 else ("s", 1)
    parts += [
        f'  <text x="{x(tick * size):.1f}" y="{bottom + 16:g}" text-anchor="middle">{tick:g} {unit}</text>'
        for tick in step.ticks
        if tick * size <= seconds * 1.001
    ]
    return parts


def _in_words(panel: Panel) -> str:
    values = [value for line in panel.lines for _, value in line]
    return f"{panel.title}: from {min(values):.3g} to {max(values):.3g}" if values else f"{panel.title}: none"
