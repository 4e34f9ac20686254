"""The command line of the workers' benchmark: ``python -m bench.workers --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for, positive
from bench.errors import BenchError
from bench.load.loads import Group
from bench.progress import Stopwatch
from bench.report.machine import OtherLoad, describe_machine, disturbance, heading
from bench.report.tables import table
from bench.workers.measurement import PER_THREAD, Setup, Shared, measure
from build.paths import ROOT

WORKERS = (1, 2, 4, 8, 16)
THREADS = 16
MILLISECONDS = 20.0
SECONDS = 5.0

DESCRIPTION = "Show how worker processes share callers, with inference threads that sleep instead of computing."
EPILOG = f"""\
A server with as many inference threads as a large machine has cores runs here with the HTTP side, the scheduler and
the master of every model. A text keeps a thread for some time, and the processor for none of it. So this shows how
evenly callers are shared, and not how fast a machine is. {PER_THREAD} requests are in flight for each thread: only if
all workers have the same number, no thread is ever without work. Each number of workers is measured with kept
connections, and with connections as Weaviate has them. The latter are also measured without the rule, where whoever
wakes first takes a connection.

examples:
  make bench-workers
  .venv/build/bin/python -m bench.workers --workers 8,16 --seconds 20
  .venv/build/bin/python -m bench.workers --workers 1,2 --threads 2 --milliseconds 0     what a process carries
"""

HEADER = (
    "workers × threads",
    "connections",
    "who takes one",
    "requests/s",
    "of the possible",
    "p50 ms",
    "p99 ms",
    "max ms",
    "fewest",
    "most",
    "PSS MB",
)
"""``fewest`` and ``most``: the answers of a worker, in percent of its fair share."""


def main(arguments: Sequence[str]) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if unfit := [count for count in options.workers if options.threads % count]:
        parser.error(f"argument --threads: must be a multiple of the number of workers, {unfit[0]}")
    machine, others, log = describe_machine(), OtherLoad(), Stopwatch().log
    interrupt_on_terminate()
    rows = []
    try:
        for setup in _setups(options.workers, options.threads, options.milliseconds):
            log(f"{setup.workers} worker(s), {setup.group.about}{'' if setup.least_busy else ', without the rule'}")
            rows.append(_row(setup, measure(setup, options.seconds)))
    except KeyboardInterrupt:
        return fail("interrupted; all servers are stopped", EXIT_INTERRUPTED)
    except BenchError as error:
        return fail(str(error), EXIT_FAILED)
    print(heading(machine, ROOT))
    print(f"a text keeps a thread for {options.milliseconds:g} ms; {options.seconds:g} s for each row\n")
    print(table(HEADER, rows, left=3))
    print(f"\n{disturbance(others.percent())}")
    return 0


def _setups(workers: Sequence[int], threads: int, milliseconds: float) -> list[Setup]:
    setups = []
    for count in workers:
        setups += [Setup(count, threads, milliseconds, group) for group in (Group.KEPT, Group.WEAVIATE)]
        if count > 1:
            setups.append(Setup(count, threads, milliseconds, Group.WEAVIATE, least_busy=False))
    return setups


def _row(setup: Setup, shared: Shared) -> list[str]:
    load, fair = shared.load, sum(shared.answers) / setup.workers
    return [
        f"{setup.workers} × {setup.threads // setup.workers}",
        str(setup.group),
        "the least busy" if setup.least_busy else "any",
        f"{load.requests_per_second:,.0f}",
        f"{load.requests_per_second / setup.possible * 100:.0f} %" if setup.milliseconds else "–",
        *(f"{value:.1f}" for value in (load.p50_ms, load.p99_ms, load.max_ms)),
        *(f"{extreme / fair * 100:.0f} %" for extreme in (shared.answers[0], shared.answers[-1])),
        f"{shared.pss_mb:.0f}",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("bench.workers", DESCRIPTION, EPILOG)
    parser.add_argument(
        "--workers",
        type=_counts,
        default=WORKERS,
        metavar="NUMBERS",
        help=f"separated by commas (default: {','.join(map(str, WORKERS))})",
    )
    parser.add_argument(
        "--threads", type=positive(int), default=THREADS, help=f"of all workers together (default: {THREADS})"
    )
    parser.add_argument(
        "--milliseconds",
        type=_milliseconds,
        default=MILLISECONDS,
        help=f"for which a text keeps a thread (default: {MILLISECONDS:g})",
    )
    parser.add_argument("--seconds", type=positive(float), default=SECONDS, help=f"of each load (default: {SECONDS:g})")
    return parser


def _counts(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if wrong := [number for number in numbers if not number.isdecimal() or not int(number)]:
        raise argparse.ArgumentTypeError(f"must be whole numbers above 0, not {wrong[0]!r}")
    return tuple(int(number) for number in numbers)


def _milliseconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"must be at least 0 and less than a million, not {text}")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
