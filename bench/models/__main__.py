"""The command line: ``python -m bench.models --help``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, Stopwatch, fail, interrupt_on_terminate, positive
from bench.errors import BenchError
from bench.models.costs import take_costs, take_fidelities
from bench.models.engines.amx import has_amx
from bench.models.measurement import Plan, Say, take_times
from bench.models.preparation import OPENVINO_ENVIRONMENT, RANDOM, PreparedModel, prepare
from bench.models.report import Measured, heading, render
from bench.models.rows import SYSTEMS, System, default_rows, rows
from bench.report.machine import describe_machine, versions_in
from bench.server.systems import ROOT, RUNTIME_ENVIRONMENT
from build.errors import BuildError
from build.host.machine import host_target, instruction_sets
from build.kernels import ensure
from build.model.default_model import MODEL
from manifest import Target

TOKENS = (8, 16, 128, 512)
MODELS = (MODEL, f"{RANDOM}base")
ROUNDS, RUNS = 40, 1000

EPILOG = f"""\
One process a system, all on the same core, one busy at a time; what is timed is ids in, token embeddings out. The
tables go to standard output, all else to standard error. docs/performance.md tells how to read them.

The first run makes what is missing: the kernels, and OpenVINO's environment (about 400 MB). Bundles and OpenVINO's
model are made anew each time unless --scratch says where they stay.

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
    say = Stopwatch().say
    core = max(os.sched_getaffinity(0))
    scratch = tempfile.TemporaryDirectory(prefix="bench-models-") if options.scratch is None else None
    folder = Path(scratch.name) if scratch else options.scratch
    try:
        with scratch or nullcontext():
            target = host_target()
            found = instruction_sets(ensure(target))
            subjects = [prepare(model, options.systems, folder) for model in options.model or MODELS]
            print(heading(describe_machine(), _versions(), found), flush=True)
            for subject in subjects:
                plan = Plan(_tokens(options.tokens, subject), options.rounds, options.runs, core)
                print(f"\n{render(measure(subject, options.systems, found, target, plan, say))}", flush=True)
    except KeyboardInterrupt:
        return fail("interrupted: the processes are ended", EXIT_INTERRUPTED)
    except (BenchError, BuildError) as error:
        return fail(str(error), EXIT_FAILED)
    return 0


def measure(
    subject: PreparedModel, systems: Sequence[System], found: Sequence[str], target: Target, plan: Plan, say: Say
) -> Measured:
    """``found``: the instruction sets that run here. Raises ``ModelFailed``."""
    lines = rows(systems, found, target, has_amx())
    say(subject.name)
    times = take_times(lines, subject.files, plan, say)
    specs = [row.spec for row in default_rows(lines) if row.spec is not None]
    say("memory and sessions")
    costs = {spec: take_costs(spec, subject.files[spec.system.files], plan) for spec in specs}
    say("fidelity")
    near = take_fidelities(specs, subject.files, subject.texts, plan)
    costs = {spec: replace(each, fidelity=near.get(spec)) for spec, each in costs.items()}
    sizes = {files: subject.size(files) for files in subject.files}
    return Measured(subject.name, plan, lines, times, costs, sizes)


def _tokens(wanted: tuple[int, ...] | None, subject: PreparedModel) -> tuple[int, ...]:
    """As many as the model has positions for."""
    fitting = tuple(n for n in wanted or TOKENS if subject.positions is None or n <= subject.positions)
    if not fitting:
        raise BenchError(f"{subject.name} takes {subject.positions} tokens at most: --tokens must name fewer")
    return fitting


def _versions() -> dict[str, str]:
    return {
        **versions_in(RUNTIME_ENVIRONMENT, ("onnxruntime",)),
        **versions_in(OPENVINO_ENVIRONMENT, ("nncf", "openvino")),
        **versions_in(ROOT / ".venv" / "build", ("torch", "transformers")),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.models",
        description="Time whole models in process on one core: the native kernels beside what else runs them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        action="append",
        help=f"id on the hub, a local directory, or {RANDOM}SHAPE (small, base, large) for random weights; may be "
        f"given several times (default: {' and '.join(MODELS)})",
    )
    parser.add_argument(
        "--systems", type=_systems, default=SYSTEMS, help="names, separated by commas, in their order (default: all)"
    )
    parser.add_argument(
        "--tokens", type=_numbers, help=f"of the texts (default: {','.join(map(str, TOKENS))}, as far as they fit)"
    )
    parser.add_argument("--rounds", type=positive(int), default=ROUNDS, help=f"default: {ROUNDS}")
    parser.add_argument("--runs", type=positive(int), default=RUNS, help=f"before memory is read (default: {RUNS})")
    parser.add_argument("--scratch", type=Path, help="where bundles and models stay for another run")
    return parser


def _systems(names: str) -> tuple[System, ...]:
    known = {system.short: system for system in SYSTEMS}
    chosen = dict.fromkeys(name.strip() for name in names.split(","))
    if unknown := [name for name in chosen if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return tuple(known[name] for name in chosen)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(positive(int), text.split(",")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
