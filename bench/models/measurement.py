"""Times the processes of all rows in turn, round after round in alternating order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.errors import ModelFailed
from bench.models.process import Process
from bench.models.rows import Files, Row, Spec
from bench.progress import Log

SAMPLE_SECONDS = 0.05
"""Runs are repeated for about so long between two readings of the clock."""

MAX_WAITED = 0.05
"""A sample is disturbed if its process did not have the core for more than this part of the time."""

TEXTS, TOKENS_EACH = 8, 16
TOGETHER, APART = "together", "apart"

Call = tuple[int, ...]
"""A call has so many tokens in each of its texts."""

Loads = dict[str, tuple[Call, ...]]
"""By name, calls that are made one after another."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    tokens: tuple[int, ...]
    """The lengths of the texts that are timed."""
    rounds: int
    runs: int
    """How many runs are made before memory is read."""
    core: int | None
    """The only core that is used."""


@dataclass
class Times:
    """All times so far."""

    seconds: dict[Spec, dict[str, list[float]]] = field(default_factory=dict)
    """For each process and load, one time a round. A load is a number of tokens, ``TOGETHER`` or ``APART``."""
    isas: dict[Spec, str] = field(default_factory=dict)
    samples: int = 0
    disturbed: int = 0
    """How many of the samples are disturbed; see ``MAX_WAITED``."""

    def add(self, spec: Spec, name: str, answer: Mapping[str, float]) -> None:
        self.seconds[spec].setdefault(name, []).append(answer["seconds"])
        self.samples += 1
        self.disturbed += answer["waited"] > MAX_WAITED


def loads(tokens: Sequence[int]) -> list[Loads]:
    """What is timed. Loads in one dictionary alternate within a round."""
    alone: list[Loads] = [{str(count): ((count,),)} for count in tokens]
    together: Loads = {TOGETHER: ((TOKENS_EACH,) * TEXTS,), APART: ((TOKENS_EACH,),) * TEXTS}
    return [*alone, together]


def take_times(rows: Sequence[Row], files: Mapping[Files, Path], plan: Plan, log: Log) -> Times:
    """Raises ``ModelFailed``. However it ends, the processes that it started are ended."""
    specs = list(dict.fromkeys(row.spec for row in rows if row.spec is not None))
    times = Times(seconds={spec: {} for spec in specs})
    with ExitStack() as stack:
        processes = {}
        for spec in specs:
            path = files[spec.system.files]
            processes[spec] = stack.enter_context(Process(spec, path, plan.core))
            isa = str(processes[spec].ask("load")["isa"])
            times.isas[spec] = onednn_isa(spec, path) if spec.system.files is Files.OPENVINO else isa
        for group in loads(plan.tokens):
            own = [spec for spec in specs if TOGETHER not in group or spec.system.files is Files.NATIVE]
            log(f"{_title(group)}: {plan.rounds} rounds of {len(own)} processes")
            turns = [
                (spec, name, calls, _repeats(processes[spec], calls)) for spec in own for name, calls in group.items()
            ]
            for number in range(plan.rounds):
                for spec, name, calls, repeats in turns if number % 2 == 0 else reversed(turns):
                    times.add(spec, name, processes[spec].ask("time", calls=calls, repeats=repeats))
    return times


def _title(group: Loads) -> str:
    return f"{TEXTS} texts of {TOKENS_EACH} tokens" if TOGETHER in group else f"{', '.join(group)} tokens"


def onednn_isa(spec: Spec, path: Path) -> str:
    """The instruction set that OpenVINO's kernels report in a verbose process of its own."""
    verbose = replace(spec, environment=(*spec.environment, ("ONEDNN_VERBOSE", "1")))
    with Process(verbose, path, None) as process:
        process.ask("load")
        with suppress(ModelFailed):  # NOTE: with OpenVINO 2026.4 a verbose run fails, after it has reported this.
            process.ask("run", lengths=[TOKENS_EACH], runs=1)
    return parse_onednn_isa(process.log)


def parse_onednn_isa(log: str) -> str:
    """What oneDNN's log says of the CPU, without words that all such lines have."""
    found = re.search(r"cpu,isa:(.*)", log)
    return found[1].removeprefix("Intel ").removesuffix(" support") if found else "OpenVINO's choice"


def _repeats(process: Process, calls: tuple[Call, ...]) -> int:
    seconds = process.ask("time", calls=calls, repeats=2)["seconds"]
    return max(1, round(SAMPLE_SECONDS / seconds))
