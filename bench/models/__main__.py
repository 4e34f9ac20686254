"""The command line of the whole-model benchmark: ``python -m bench.models --help``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for, positive
from bench.environment import BUILD_ENVIRONMENT, OPENVINO_ENVIRONMENT, RUNTIME_ENVIRONMENT
from bench.errors import BenchError, InvalidOption
from bench.models.costs import take_costs, take_fidelities
from bench.models.engines.amx import has_amx
from bench.models.measurement import Plan, take_times
from bench.models.preparation import RANDOM, PreparedModel, prepare
from bench.models.report import Measured, heading, render
from bench.models.rows import SYSTEMS, System, default_rows, rows
from bench.progress import Log, Stopwatch
from bench.report.machine import describe_machine, versions_in
from build.errors import BuildError
from build.host.machine import host_target, instruction_sets
from build.kernels import ensure
from build.model.default_model import MODEL
from manifest import Target

TOKENS = (8, 16, 128, 512)
MODELS = (MODEL, f"{RANDOM}base")
ROUNDS, RUNS = 40, 1000

DESCRIPTION = "Time whole models in process on one core: the native kernels beside other engines."
EPILOG = f"""\
Each system runs in a process of its own, all on the same core, only one at a time. Token ids go in, token embeddings
come out. Tables are printed to standard output, progress to standard error; docs/performance.md explains the tables.

The first run creates what is missing: the kernels, and OpenVINO's environment (about 400 MB). Bundles and OpenVINO's
model are made again in each run unless --scratch names a directory that keeps them.

systems:
{chr(10).join(f"  {system.short:<12}{system.name}" for system in SYSTEMS)}

examples:
  make bench-models
  make bench-models MODEL=BAAI/bge-small-en-v1.5 ROUNDS=10
  .venv/build/bin/python -m bench.models --model {RANDOM}base --systems cpu2vec,stock --tokens 16,128 --scratch ~/bench
"""


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    interrupt_on_terminate()
    log = Stopwatch().log
    core = max(os.sched_getaffinity(0))
    try:
        with _scratch(options.scratch) as folder:
            target = host_target()
            available = instruction_sets(ensure(target))
            models = [prepare(model, options.systems, folder) for model in options.model or MODELS]
            print(heading(describe_machine(), _versions(), available), flush=True)
            for model in models:
                plan = Plan(_tokens(options.tokens, model), options.rounds, options.runs, core)
                print(f"\n{render(measure(model, options.systems, available, target, plan, log))}", flush=True)
    except KeyboardInterrupt:
        return fail("interrupted; all processes are ended", EXIT_INTERRUPTED)
    except (BenchError, BuildError) as error:
        return fail(str(error), EXIT_FAILED)
    return 0


def measure(
    model: PreparedModel, systems: Sequence[System], available: Sequence[str], target: Target, plan: Plan, log: Log
) -> Measured:
    """All figures of one model. ``available``: the instruction sets of this machine. Raises ``ModelFailed``."""
    all_rows = rows(systems, available, target, has_amx())
    log(model.name)
    times = take_times(all_rows, model.files, plan, log)
    specs = [row.spec for row in default_rows(all_rows) if row.spec is not None]
    log("memory and sessions")
    costs = {spec: take_costs(spec, model.files[spec.system.files], plan) for spec in specs}
    log("fidelity")
    fidelities = take_fidelities(specs, model.files, model.texts, plan)
    costs = {spec: replace(cost, fidelity=fidelities.get(spec)) for spec, cost in costs.items()}
    sizes = {files: model.size(files) for files in model.files}
    return Measured(model.name, plan, all_rows, times, costs, sizes)


@contextmanager
def _scratch(folder: Path | None) -> Iterator[Path]:
    """The directory for bundles: the given one, or one that is removed at the end."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="bench-models-") as temporary:
        yield Path(temporary)


def _tokens(wanted: tuple[int, ...] | None, model: PreparedModel) -> tuple[int, ...]:
    """Those lengths that the model accepts."""
    fitting = tuple(n for n in wanted or TOKENS if model.positions is None or n <= model.positions)
    if not fitting:
        raise InvalidOption(f"{model.name} accepts at most {model.positions} tokens: name fewer in --tokens")
    return fitting


def _versions() -> dict[str, str]:
    return {
        **versions_in(RUNTIME_ENVIRONMENT, ("onnxruntime",)),
        **versions_in(OPENVINO_ENVIRONMENT, ("nncf", "openvino")),
        **versions_in(BUILD_ENVIRONMENT, ("torch", "transformers")),
    }


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("bench.models", DESCRIPTION, EPILOG)
    parser.add_argument(
        "--model",
        action="append",
        help=f"id on the hub, a local directory, or {RANDOM}SHAPE (small, base, large) for random weights; may be "
        f"given several times (default: {' and '.join(MODELS)})",
    )
    parser.add_argument(
        "--systems",
        type=_systems,
        default=SYSTEMS,
        metavar="NAMES",
        help="names, separated by commas, in the order of the rows (default: all of them)",
    )
    parser.add_argument(
        "--tokens",
        type=_numbers,
        help=f"lengths of the texts, separated by commas (default: those of {','.join(map(str, TOKENS))} that the "
        "model accepts)",
    )
    parser.add_argument(
        "--rounds", type=positive(int), default=ROUNDS, help=f"each times every row once (default: {ROUNDS})"
    )
    parser.add_argument("--runs", type=positive(int), default=RUNS, help=f"before memory is read (default: {RUNS})")
    parser.add_argument("--scratch", type=Path, help="a directory that keeps bundles and models for another run")
    return parser


def _systems(names: str) -> tuple[System, ...]:
    known = {system.short: system for system in SYSTEMS}
    chosen = dict.fromkeys(name.strip() for name in names.split(","))
    if unknown := [name for name in chosen if name not in known]:
        raise argparse.ArgumentTypeError(f"a system must be one of {', '.join(known)}, not {unknown[0]!r}")
    return tuple(known[name] for name in chosen)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(positive(int), text.split(",")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
