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

from bench.clip.kind import CLIP
from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for, positive
from bench.errors import BenchError
from bench.load.loads import Group, loads_in
from bench.progress import Stopwatch
from bench.rerank.kind import RERANK
from bench.server.base import base_system
from bench.server.kind import BenchKind, BenchModel
from bench.server.limits import LIMITS, limited_to
from bench.server.measurement import measure
from bench.server.report import render
from bench.server.results import Settings, save
from bench.server.system import BASE, ONE_TEXT_EACH, System
from bench.static.kind import STATIC
from bench.text.kind import TEXT
from build.errors import BuildError
from build.paths import ROOT

KINDS = {kind.name: kind for kind in (TEXT, STATIC, RERANK, CLIP)}
"""The first is measured unless another is asked for."""

FULL = Settings(rounds=5, seconds=3.0, starts=5, idle_seconds=10.0)
QUICK = Settings(rounds=1, seconds=1.0, starts=1, idle_seconds=2.0)


def _rows(kind: BenchKind) -> str:
    return "\n".join(f"  {system.name:<12} {system.about}" for system in kind.systems)


DESCRIPTION = "Measure servers side by side on this machine."
EPILOG = f"""\
Each system starts as it would in production and gets the same requests over loopback. Only one system is under load at
a time. Tables are printed to standard output, progress to standard error; all measurements are saved as JSON.
docs/performance.md explains the tables. It takes 15 to 20 minutes, and for text with --loads kept 5. The models of a
kind are measured one after another.

The first run creates what is missing: model, bundle, and the incumbent's environment (up to 1.2 GB).

kinds:
{chr(10).join(f"  {kind.name:<12} {kind.about}" for kind in KINDS.values())}

models:
{chr(10).join(f"  {kind.name:<12} {', '.join(model.name for model in kind.models)}" for kind in KINDS.values())}

loads:
{chr(10).join(f"  {group:<12} {group.about}" for group in Group)}

{chr(10).join(f"systems of {kind.name}:{chr(10)}{_rows(kind)}{chr(10)}" for kind in KINDS.values())}
  {BASE:<12} with --base: the server of another checkout of this project, such as a git worktree at an older
               commit; its files are copied, its own quantize.py builds its bundle, and it runs in its own .venv, or in
               this checkout's where it has none

examples:
  make bench
  make bench KIND=static
  make bench KIND=clip
  make bench KIND=rerank MODEL=ms-marco-MiniLM-L6
  make bench BASE=../cpu2vec-before
  make bench LOADS=weaviate,overload,restart
  make bench LOADS=batches
  .venv/build/bin/python -m bench --quick
  .venv/build/bin/python -m bench --systems cpu2vec --base ../cpu2vec-before --rounds 9
"""


def main(arguments: list[str]) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    kind: BenchKind = options.kind
    systems = _systems(parser, kind, options.systems)
    if options.isa:
        systems = tuple(limited_to(options.isa, system) for system in systems)
    if options.every_load:
        systems = tuple(replace(system, loads=system.loads | ONE_TEXT_EACH) for system in systems)
    groups = options.loads or kind.default_groups
    models = _models(parser, kind, options.model)
    if not all(loads_in(model.loads, groups) for model in models):
        parser.error(f"models of the kind {kind.name} are not put under these loads")
    if not options.base and not any(system.loads & set(groups) for system in systems):
        parser.error("none of the systems is put under these loads without --every-load")
    if options.output and len(models) > 1:
        parser.error("--output is one file for one model: name it with --model")
    defaults = QUICK if options.quick else FULL
    settings = Settings(
        rounds=options.rounds or defaults.rounds,
        seconds=options.seconds or defaults.seconds,
        starts=defaults.starts,
        idle_seconds=defaults.idle_seconds,
    )
    interrupt_on_terminate()
    try:
        log = Stopwatch().log
        with _with_base(systems, options.base, kind) as systems:
            for model in models:
                results = measure(
                    systems=systems,
                    model=model.files(),
                    loads=loads_in(model.loads, groups),
                    original=kind.original,
                    ops=kind.ops,
                    settings=settings,
                    log=log,
                )
                save(results, output := options.output or default_output())
                print(render(results), end="\n\n", flush=True)
                print(f"saved as {output}", file=sys.stderr)
    except KeyboardInterrupt:
        return fail("interrupted; all servers are stopped", EXIT_INTERRUPTED)
    except (BenchError, BuildError) as error:
        return fail(str(error), EXIT_FAILED)
    return 0


def default_output() -> Path:
    return ROOT / "bench" / "results" / f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H-%M-%SZ}.json"


@contextmanager
def _with_base(systems: tuple[System, ...], checkout: Path | None, kind: BenchKind) -> Iterator[tuple[System, ...]]:
    """The systems, and the server of another checkout if one is given; its copy is removed at the end."""
    if checkout is None:
        yield systems
        return
    with tempfile.TemporaryDirectory(prefix="bench-base-") as folder:
        yield (*systems, base_system(checkout, Path(folder) / "checkout", kind.precision, kind.build_options))


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("bench", DESCRIPTION, EPILOG)
    parser.add_argument(
        "--kind",
        type=_kind,
        default=next(iter(KINDS.values())),
        metavar="NAME",
        help=f"the kind of model: {', '.join(KINDS)} (default: {next(iter(KINDS))})",
    )
    parser.add_argument(
        "--systems", metavar="NAMES", help="names, separated by commas, in the order to run (default: all of the kind)"
    )
    parser.add_argument(
        "--loads",
        type=_loads,
        metavar="NAMES",
        help=f"names, separated by commas (default: {','.join(TEXT.default_groups)}, as far as the kind has them)",
    )
    parser.add_argument(
        "--model", metavar="NAMES", help="of the kind's models, separated by commas (default: one after another, all)"
    )
    parser.add_argument(
        "--isa",
        choices=LIMITS,
        help="keep all systems from wider instruction sets, as far as their libraries can be (default: the CPU's best)",
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


def _kind(name: str) -> BenchKind:
    if name not in KINDS:
        raise argparse.ArgumentTypeError(f"a kind must be one of {', '.join(KINDS)}, not {name!r}")
    return KINDS[name]


def _loads(names: str) -> tuple[Group, ...]:
    chosen = [name.strip() for name in names.split(",")]
    if unknown := [name for name in chosen if name not in list(Group)]:
        raise argparse.ArgumentTypeError(f"loads must be among {', '.join(Group)}, not {unknown[0]!r}")
    return tuple(group for group in Group if group in chosen)


def _systems(parser: argparse.ArgumentParser, kind: BenchKind, names: str | None) -> tuple[System, ...]:
    """Those of the kind that are named; all without names."""
    known = {system.name: system for system in kind.systems}
    return tuple(known[name] for name in _names(parser, "system", "--systems", names, list(known)))


def _models(parser: argparse.ArgumentParser, kind: BenchKind, names: str | None) -> tuple[BenchModel, ...]:
    """Those of the kind that are named; all without names."""
    known = {model.name: model for model in kind.models}
    return tuple(known[name] for name in _names(parser, "model", "--model", names, list(known)))


def _names(parser: argparse.ArgumentParser, what: str, option: str, names: str | None, known: list[str]) -> list[str]:
    """Those of ``known`` that an option names, separated by commas."""
    if not names:
        return known
    chosen = [name.strip() for name in names.split(",")]
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"argument {option}: a {what} must be one of {', '.join(known)}, not {unknown[0]!r}")
    if len(set(chosen)) < len(chosen):
        parser.error(f"argument {option}: a {what} is named twice")
    return chosen


def _directory(name: str) -> Path | None:
    """None for an empty name, which make passes where BASE is not set."""
    return Path(name).expanduser() if name else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
