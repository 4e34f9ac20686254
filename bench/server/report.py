"""Renders the server benchmark's results as Markdown tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from bench.load.loads import RATE_IN_FLIGHT, Group, Load
from bench.report.machine import DISTURBED_PERCENT
from bench.report.statistics import median, median_ratio, spread_percent
from bench.report.tables import table
from bench.server.results import Results, Sample, SystemResult
from bench.server.system import BASE, CPU2VEC, STUB
from manifest import Fidelity

RATE = "requests_per_second"
CPU = "cpu_ms_per_request"

ONE_TEXT_KEPT = {Group.KEPT, Group.SLOW}
"""Loads of one text a request that lose nothing, or the measurement would have ended."""

LOAD_COLUMNS = (
    ("requests/s", RATE, 0),
    ("p50 ms", "p50_ms", 2),
    ("p99 ms", "p99_ms", 2),
    ("CPU ms per request", CPU, 2),
)
"""Each column has a title, a field of ``Sample``, and a number of decimals."""

BATCH_COLUMNS = ("texts/s", "CPU µs per text", "of them outside the ops", "p50 ms of a request", "spread of texts/s")

LOSS_COLUMNS = ("goodput/s", f"of {RATE_IN_FLIGHT} in flight", "lost", "of")
LATENCY_COLUMNS = (
    ("p50 ms", "p50_ms", 0),
    ("p99 ms", "p99_ms", 0),
    ("CPU ms per answer", "cpu_ms_per_request", 2),
    ("longest silence s", "silence_seconds", 2),
)
"""Each column has a title, a field of ``Sample``, and a number of decimals."""

COST_COLUMNS: tuple[tuple[str, Callable[[SystemResult], float], int], ...] = (
    ("start s", lambda system: median(system.start_seconds), 2),
    ("RSS MB at start", lambda system: system.memory_after_start.rss_mb, 0),
    ("RSS MB after load", lambda system: system.memory_after_load.rss_mb, 0),
    ("PSS MB after load", lambda system: system.memory_after_load.pss_mb, 0),
)
"""Each column has a title, a value of a system, and a number of decimals."""

NOTHING = "–"


def render(results: Results) -> str:
    parts = (
        _heading(results),
        _kept_loads(results),
        _batches(results),
        _counting_loads(results),
        _systems(results),
        _against_base(results),
        _outside_the_ops(results),
        _below_the_stub(results),
        _notes(results),
    )
    return "\n\n".join(part for part in parts if part)


def _heading(results: Results) -> str:
    machine, settings = results.machine, results.settings
    multiples = "" if {load.group for load in results.loads} <= {Group.KEPT} else " or a multiple of it"
    lines = [
        f"{results.model}, {results.date}, commit {results.commit or 'unknown'}",
        f"{machine}; load average before: {machine.load_average:.2f}",
        f"{settings.seconds:g} s for each load{multiples}, medians of {settings.rounds} round(s); in brackets: "
        f"times the figure of {results.baseline}",
    ]
    return "\n".join(lines)


def _kept_loads(results: Results) -> str:
    """The loads over kept connections, request by request; empty without them."""
    rows = []
    for load in _measured(results, ONE_TEXT_KEPT):
        for system, base in _with_baseline(results, load):
            rates = system.values_of(load.name, RATE)
            row = [str(load), system.name]
            for _, field, digits in LOAD_COLUMNS:
                value = system.median_of(load.name, field)
                row.append(_with_ratio(value, base.median_of(load.name, field) if base else None, digits))
            rows.append([*row, f"{spread_percent(rates):.0f} %" if len(rates) > 1 else NOTHING])
    header = ["load", "system", *(title for title, _, _ in LOAD_COLUMNS), "spread of requests/s"]
    return table(header, rows, left=2) if rows else ""


def _batches(results: Results) -> str:
    """The loads with many texts in a request, text by text; empty without them."""
    rows = []
    for load in _measured(results, {Group.BATCHES}):
        ops = median(results.ops_ms[load.name]) if load.name in results.ops_ms else None
        for system, base in _with_baseline(results, load):
            rates = system.values_of(load.name, RATE)
            row = [str(load), system.name]
            for figure in (_text_rate, _text_cpu):
                row.append(_with_ratio(figure(system, load), figure(base, load) if base else None, 0))
            outside = [_text_cpu(each, load, ops) for each in (system, base) if each and ops is not None]
            row.append(_with_ratio(outside[0], next(iter(outside[1:]), None), 0) if outside else NOTHING)
            row.append(f"{system.median_of(load.name, 'p50_ms'):.2f}")
            rows.append([*row, f"{spread_percent(rates):.0f} %" if len(rates) > 1 else NOTHING])
    return table(["texts in a request", "system", *BATCH_COLUMNS], rows, left=2) if rows else ""


def _text_rate(system: SystemResult, load: Load) -> float:
    return system.median_of(load.name, RATE) * load.texts


def _text_cpu(system: SystemResult, load: Load, ops_ms: float = 0.0) -> float:
    """Microseconds, less those of the ops of a request."""
    return (system.median_of(load.name, CPU) - ops_ms) / load.texts * 1e3


def _counting_loads(results: Results) -> str:
    """The loads that count what they lose; empty without them."""
    rows = []
    for load in _measured(results, set(Group) - ONE_TEXT_KEPT - {Group.BATCHES}):
        for system, base in _with_baseline(results, load):
            row = [str(load), system.name]
            row.append(
                _with_ratio(system.median_of(load.name, RATE), base.median_of(load.name, RATE) if base else None, 1)
            )
            row += [_share_of_the_full_rate(system, load), *_losses(system.samples[load.name])]
            for _, field, digits in LATENCY_COLUMNS:
                value = system.median_of(load.name, field)
                row.append(f"{value:.{digits}f}" if value else NOTHING)
            rows.append(row)
    header = ["load", "system", *LOSS_COLUMNS, *(title for title, _, _ in LATENCY_COLUMNS)]
    return table(header, rows, left=2) if rows else ""


def _share_of_the_full_rate(system: SystemResult, load: Load) -> str:
    """The goodput in percent of that with few in flight, on texts of the same length."""
    full = Load(load.length, RATE_IN_FLIGHT, Group.WEAVIATE).name
    if full not in system.samples or not system.median_of(full, RATE):
        return NOTHING
    return f"{system.median_of(load.name, RATE) / system.median_of(full, RATE) * 100:.0f} %"


def _losses(samples: Sequence[Sample]) -> tuple[str, str]:
    """How many requests of all rounds were lost, with the reasons, and how many were sent."""
    lost: Counter[str] = Counter()
    for sample in samples:
        lost.update(sample.lost)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in lost.most_common())
    return f"{lost.total():,} ({reasons})" if lost else "0", f"{sum(sample.sent for sample in samples):,}"


def _measured(results: Results, groups: Collection[Group]) -> list[Load]:
    """The loads of these groups that any system was put under."""
    names = {name for system in results.systems for name in system.samples}
    return [load for load in results.loads if load.name in names and load.group in groups]


def _systems(results: Results) -> str:
    fidelities = [system.fidelity for system in results.systems if system.fidelity is not None]
    compared = [title for title, _ in _figures(fidelities[0])] if fidelities else []
    rows = []
    for system, base in _with_baseline(results):
        row = [system.name]
        for _, value_of, digits in COST_COLUMNS:
            row.append(_with_ratio(value_of(system), value_of(base) if base else None, digits))
        row.append(f"{system.idle_cpu_percent:.1f} %")
        figures = dict(_figures(system.fidelity)) if system.fidelity is not None else {}
        rows.append([*row, *(figures.get(title, NOTHING) for title in compared)])
    costs = [title for title, _, _ in COST_COLUMNS]
    return table(["system", *costs, "idle CPU", *compared], rows, left=1)


def describe(fidelity: Fidelity) -> str:
    """The figures in one line."""
    return ", ".join(f"{title} {value}" for title, value in _figures(fidelity))


def _figures(fidelity: Fidelity) -> list[tuple[str, str]]:
    """Titles of columns and what is in them: of vectors or of scores, whichever the model's kind has."""
    found: list[tuple[str, str]] = []
    if (cosine := fidelity.cosine) is not None:
        values = (cosine.mean, cosine.p1, cosine.minimum)
        found += zip(("cosine mean", "1st percentile", "minimum"), (f"{value:.4f}" for value in values), strict=True)
    if (scores := fidelity.scores) is not None:
        found += [("rank agreement", f"{scores.rank_agreement:.4f}"), ("best kept", f"{scores.top_kept:.1%}")]
        found.append(("error of scores", f"{scores.error_rms:.2%}"))
    return found


def _with_baseline(results: Results, load: Load | None = None) -> list[tuple[SystemResult, SystemResult | None]]:
    """Each system with the one to divide by: none for the baseline itself, nor where that was not measured.

    With a ``load``, only the systems that were put under it.
    """
    systems = [system for system in results.systems if load is None or load.name in system.samples]
    base = next((system for system in systems if system.name == results.baseline), None)
    return [(system, None if system is base else base) for system in systems]


def _against_base(results: Results) -> str:
    """This checkout round by round beside the other one; empty unless both were measured."""
    rows = []
    for load, ours, base in _both_measured(results, BASE):
        ratios = _rate_ratios(ours, base, load)
        verdict = _verdict(median(ratios), ours.values_of(load.name, RATE), base.values_of(load.name, RATE))
        rows.append([*_beside(ours, base, load), *verdict])
    return table([*_beside_header(BASE), "spread", "verdict"], rows, left=1) if rows else ""


def _outside_the_ops(results: Results) -> str:
    """What is left of a request's CPU time without its ops, beside that of the other checkout where it was measured."""
    systems = [system for name in (CPU2VEC, BASE) if (system := results.system(name)) is not None]
    rows = []
    for load in results.loads:
        if load.group is Group.BATCHES or load.name not in results.ops_ms:
            continue
        if any(load.name not in system.samples for system in systems):
            continue
        ops = median(results.ops_ms[load.name])
        outside = [system.median_of(load.name, CPU) - ops for system in systems]
        ratio = f"{outside[0] / outside[1]:.2f}" if len(outside) > 1 and outside[1] > 0 else NOTHING
        rows.append([str(load), f"{ops:.2f}", *(f"{value:.2f}" for value in outside), ratio])
    header = ["CPU ms per request outside the ops", "ops alone", *(system.name for system in systems), f"× {BASE}"]
    return table(header, rows, left=1) if rows else ""


def _below_the_stub(results: Results) -> str:
    """How near this checkout comes to what its HTTP server reaches without a model; empty unless both were measured."""
    rows = [_beside(ours, stub, load) for load, ours, stub in _both_measured(results, STUB)]
    return table(_beside_header(STUB), rows, left=1) if rows else ""


def _both_measured(results: Results, other: str) -> list[tuple[Load, SystemResult, SystemResult]]:
    """This checkout and the other system, with each load that both were put under."""
    ours, theirs = results.system(CPU2VEC), results.system(other)
    if ours is None or theirs is None:
        return []
    both = ours.samples.keys() & theirs.samples.keys()
    return [(load, ours, theirs) for load in results.loads if load.name in both]


def _beside_header(other: str) -> list[str]:
    ratios = (f"requests/s × {other}", "worst round", "best round", f"p50 × {other}", f"CPU × {other}")
    return [f"{CPU2VEC} beside {other}", *ratios]


def _beside(ours: SystemResult, other: SystemResult, load: Load) -> list[str]:
    """One load: the ratios of the rates round by round, then those of the medians of other figures."""
    ratios = _rate_ratios(ours, other, load)
    row = [str(load), *(f"{value:.3f}" for value in (median(ratios), min(ratios), max(ratios)))]
    for field in ("p50_ms", "cpu_ms_per_request"):
        row.append(_ratio(ours.values_of(load.name, field), other.values_of(load.name, field)))
    return row


def _rate_ratios(ours: SystemResult, other: SystemResult, load: Load) -> list[float]:
    pairs = zip(ours.values_of(load.name, RATE), other.values_of(load.name, RATE), strict=True)
    return [own / theirs if theirs else 0.0 for own, theirs in pairs]


def _ratio(values: Sequence[float], reference: Sequence[float]) -> str:
    return f"{median_ratio(values, reference):.3f}" if all(reference) else NOTHING


def _verdict(ratio: float, rates: Sequence[float], base_rates: Sequence[float]) -> tuple[str, str]:
    """The larger spread of the two, and whether the ratio is farther from 1 than that. One round has no spread."""
    if len(rates) < 2:
        return NOTHING, NOTHING
    spread = max(spread_percent(rates), spread_percent(base_rates))
    change = (ratio - 1) * 100
    verdict = "within the spread" if abs(change) <= spread else "faster" if change > 0 else "slower"
    return f"{spread:.0f} %", verdict


def _notes(results: Results) -> str:
    samples = [sample for system in results.systems for load in system.samples.values() for sample in load]
    disturbed = sum(sample.others_cpu_percent > DISTURBED_PERCENT for sample in samples)
    lines = [f"{system.name}: {system.about} ({_versions(system)})" for system in results.systems]
    if disturbed:
        lines.append(
            f"WARNING: in {disturbed} of {len(samples)} samples, other processes used more than "
            f"{DISTURBED_PERCENT:g} % of the cores: measure again on a quiet machine"
        )
    return "\n".join(lines)


def _with_ratio(value: float, base: float | None, digits: int) -> str:
    shown = f"{value:.{max(digits, _least_digits(value))}f}"
    return f"{shown} ({value / base:.2f} ×)" if base else shown


def _least_digits(value: float) -> int:
    """The number of decimals that a small figure needs, so that two of its digits are seen; 0 for large ones."""
    return max(0, 1 - math.floor(math.log10(value))) if 0 < value < 10 else 0


def _versions(system: SystemResult) -> str:
    return ", ".join(f"{name} {version}" for name, version in system.versions.items())
