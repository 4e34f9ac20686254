"""Renders the times and costs of whole models as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.models.costs import Costs
from bench.models.measurement import APART, MAX_WAITED, TEXTS, TOGETHER, TOKENS_EACH, Plan, Times
from bench.models.rows import INT8, NATIVE, Files, Row, Spec
from bench.report.machine import Machine
from bench.report.statistics import median, median_ratio
from bench.report.tables import table

NOT_RUN = "not run here"
NOTHING = "–"
MEGABYTE = 1e6


@dataclass(frozen=True)
class Measured:
    """All that was measured of one model."""

    model: str
    plan: Plan
    rows: Sequence[Row]
    times: Times
    costs: Mapping[Spec, Costs]
    sizes: Mapping[Files, int]
    """Bytes of what each engine loads."""


def heading(machine: Machine, versions: Mapping[str, str], available: Sequence[str]) -> str:
    lines = [
        f"{machine}; one core is used",
        f"native instruction sets: {', '.join(available)}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"load average before: {machine.load_average:.2f}",
    ]
    return "  \n".join(lines)


def render(measured: Measured) -> str:
    plan = measured.plan
    about = (
        f"{measured.model}: milliseconds per text, medians of {plan.rounds} round(s); in brackets: times the figure of "
        f"{NATIVE} with the same instruction set, for fp32 of {NATIVE} with the instruction set that it chooses"
    )
    parts = [about, times_table(measured), together_table(measured), costs_table(measured), warning(measured.times)]
    return "\n\n".join(part for part in parts if part)


def warning(times: Times) -> str:
    """Empty on a quiet machine."""
    if not times.disturbed:
        return ""
    return (
        f"WARNING: in {times.disturbed} of {times.samples} samples, other processes had the core for more than "
        f"{MAX_WAITED:.0%} of the time: measure again on a quiet machine"
    )


def times_table(measured: Measured) -> str:
    columns = [str(tokens) for tokens in measured.plan.tokens]
    cells = []
    for row in measured.rows:
        if row.spec is None:
            cells.append([row.isa, row.name, NOTHING, *[NOT_RUN] * len(columns)])
            continue
        own = measured.times.seconds[row.spec]
        beside = native_beside(row, measured.rows)
        base = measured.times.seconds.get(beside) if beside else None
        ratios = [_with_ratio(own[column], base[column] if base else None) for column in columns]
        cells.append([row.isa, row.name, measured.times.isas[row.spec], *ratios])
    head = ["instruction set", "system", "ran with", *(f"{column} tokens" for column in columns)]
    return table(head, cells, left=3)


def native_beside(row: Row, rows: Sequence[Row]) -> Spec | None:
    """The native row with the same instruction set; for fp32, which has no set of its own, the first that ran."""
    native = [other for other in rows if other.spec and other.spec.system.name == NATIVE]
    if row.name == NATIVE or not native:
        return None
    if row.spec and row.spec.system.name in INT8:
        return next((other.spec for other in native if other.isa == row.isa), None)
    return native[0].spec


def together_table(measured: Measured) -> str:
    """Several texts in one call of the native kernels beside one call each; empty where those did not run."""
    cells = []
    for row in measured.rows:
        own = measured.times.seconds.get(row.spec, {}) if row.spec else {}
        if TOGETHER in own:
            gain = median_ratio(own[APART], own[TOGETHER])
            cells.append([row.isa, *(f"{median(own[name]) * 1e3:.2f}" for name in (APART, TOGETHER)), f"{gain:.2f} ×"])
    head = ["instruction set", f"{TEXTS} calls, ms", f"1 call with {TEXTS} texts of {TOKENS_EACH} tokens, ms", "gain"]
    return table(head, cells, left=1) if cells else ""


def costs_table(measured: Measured) -> str:
    head = ["system", "session ms", "private MB", "PSS of two MB", "files MB"]
    cells = []
    for spec, costs in measured.costs.items():
        fidelity = costs.fidelity
        cosines = (fidelity.mean, fidelity.p1, fidelity.minimum) if fidelity else ()
        figures = [f"{value:.5f}" for value in cosines] or [NOTHING] * 3
        memory = [f"{value / MEGABYTE:.1f}" for value in (costs.private, costs.pss, measured.sizes[spec.system.files])]
        cells.append([spec.system.name, f"{costs.session_seconds * 1e3:.1f}", *memory, *figures])
    return table([*head, "cosine mean", "1st percentile", "minimum"], cells, left=1) if cells else ""


def _with_ratio(seconds: Sequence[float], base: Sequence[float] | None) -> str:
    shown = f"{median(seconds) * 1e3:.2f}"
    return f"{shown} ({median_ratio(seconds, base):.2f} ×)" if base else shown
