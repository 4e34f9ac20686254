"""Times all rows' processes in turn, round after round in alternating order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.errors import ModelFailed
from bench.models.process import Process
from bench.models.rows import Files, Row, Spec

SAMPLE_SECONDS = 0.05
"""Runs are repeated for about so long between two looks at the clock."""

DISTURBED = 0.05

TEXTS, TOKENS_EACH = 8, 16
TOGETHER, APART = "together", "apart"

Say = Callable[[str], None]
Call = tuple[int, ...]
"""The tokens of each text."""


@dataclass(frozen=True)
class Plan:
    """``tokens``: of the texts that are timed; ``runs``: before memory is read; ``core``: the only one that is used."""

    tokens: tuple[int, ...]
    rounds: int
    runs: int
    core: int | None


@dataclass
class Times:
    """Seconds by what was done, a number of tokens, ``TOGETHER`` or ``APART``: for each process one a round.

    ``disturbed``: in how many of all ``samples`` others had the core for more than DISTURBED of the time.
    """

    seconds: dict[Spec, dict[str, list[float]]] = field(default_factory=dict)
    isas: dict[Spec, str] = field(default_factory=dict)
    samples: int = 0
    disturbed: int = 0

    def add(self, spec: Spec, name: str, answer: Mapping[str, float]) -> None:
        self.seconds[spec].setdefault(name, []).append(answer["seconds"])
        self.samples += 1
        self.disturbed += answer["waited"] > DISTURBED


def loads(tokens: Sequence[int]) -> list[dict[str, tuple[Call, ...]]]:
    """What is timed, by name: calls that are made one after another. What is in one dict takes turns."""
    together = {TOGETHER: ((TOKENS_EACH,) * TEXTS,), APART: ((TOKENS_EACH,),) * TEXTS}
    return [*({str(count): ((count,),)} for count in tokens), together]


def take_times(rows: Sequence[Row], files: Mapping[Files, Path], plan: Plan, say: Say) -> Times:
    """Raises ``ModelFailed``. However it ends, the processes that it started are ended."""
    specs = list(dict.fromkeys(row.spec for row in rows if row.spec is not None))
    times = Times(seconds={spec: {} for spec in specs})
    with ExitStack() as stack:
        processes = {}
        for spec in specs:
            path = files[spec.system.files]
            processes[spec] = stack.enter_context(Process(spec, path, plan.core))
            told = str(processes[spec].ask("load")["isa"])
            times.isas[spec] = onednn_isa(spec, path) if spec.system.files is Files.OPENVINO else told
        for group in loads(plan.tokens):
            own = [spec for spec in specs if TOGETHER not in group or spec.system.files is Files.NATIVE]
            say(f"{_told(group)}: {plan.rounds} rounds of {len(own)} processes")
            turns = [
                (spec, name, calls, _repeats(processes[spec], calls)) for spec in own for name, calls in group.items()
            ]
            for number in range(plan.rounds):
                for spec, name, calls, repeats in turns if number % 2 == 0 else reversed(turns):
                    times.add(spec, name, processes[spec].ask("time", calls=calls, repeats=repeats))
    return times


def _told(group: Mapping[str, object]) -> str:
    return f"{TEXTS} texts of {TOKENS_EACH} tokens" if TOGETHER in group else f"{', '.join(group)} tokens"


def onednn_isa(spec: Spec, path: Path) -> str:
    """What OpenVINO's kernels were made for, as they say it themselves in a process of its own."""
    talking = replace(spec, environment=(*spec.environment, ("ONEDNN_VERBOSE", "1")))
    with Process(talking, path, None) as process:
        process.ask("load")
        with suppress(ModelFailed):  # NOTE: a run of 2026.4 that is to tell fails, after it has told this.
            process.ask("work", lengths=[TOKENS_EACH], runs=1)
    return parse_onednn_isa(process.log)


def parse_onednn_isa(log: str) -> str:
    """As short as its sentence allows."""
    found = re.search(r"cpu,isa:(.*)", log)
    return found[1].removeprefix("Intel ").removesuffix(" support") if found else "OpenVINO's choice"


def _repeats(process: Process, calls: tuple[Call, ...]) -> int:
    seconds = process.ask("time", calls=calls, repeats=2)["seconds"]
    return max(1, round(SAMPLE_SECONDS / seconds))
