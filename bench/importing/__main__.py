"""The command line of the importing benchmark: ``python -m bench.importing --help``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.bundles import unverified_bundle
from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for, positive
from bench.errors import BenchError
from bench.importing.measurement import BATCH_SECONDS, FIRST_BATCH, IN_FLIGHT, LENGTHS, components_of, measure, served
from bench.progress import Stopwatch
from bench.report.machine import OtherLoad, describe_machine, disturbance, heading
from bench.report.tables import table
from build.errors import BuildError
from build.model.default_model import MODEL
from build.paths import ROOT
from build.precisions import PRECISIONS
from manifest import BundleError, Precision

SECONDS = 5.0

DESCRIPTION = "Show how many texts a second a server embeds, by length and cores, and what imports that suffices for."
EPILOG = f"""\
{IN_FLIGHT} texts are in flight, as in an import by a Weaviate with two processors. Each of its workers, as many as
GOMAXPROCS, begins with a batch of {FIRST_BATCH} texts and gives it {BATCH_SECONDS} s. So a server is fast enough if
texts/s x {BATCH_SECONDS} > {FIRST_BATCH} x GOMAXPROCS. The last column is the highest GOMAXPROCS for which that holds.

examples:
  make bench-import
  make bench-import BUNDLE=bundles/mine
  .venv/build/bin/python -m bench.importing --bundle bundles/mine --cores 1,2,4 --seconds 20
"""

HEADER = ("texts of", "cores", "texts/s", "GOMAXPROCS up to")


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    machine, others, log = describe_machine(), OtherLoad(), Stopwatch().log
    interrupt_on_terminate()
    rows = []
    try:
        with _bundle(options.bundle) as bundle:
            dim = components_of(bundle)
            for cores in options.cores:
                with served(bundle, cores) as server:
                    for length in LENGTHS:
                        log(f"{length}, {cores} core(s)")
                        rate = measure(server, dim, length, options.seconds)
                        rows.append(
                            [str(length), str(cores), f"{rate.texts_per_second:.1f}", str(rate.most_processors)]
                        )
    except KeyboardInterrupt:
        return fail("interrupted; all servers are stopped", EXIT_INTERRUPTED)
    except (BenchError, BuildError, BundleError) as error:
        return fail(str(error), EXIT_FAILED)
    print(heading(machine, ROOT))
    print(f"{options.bundle or MODEL}; at least {options.seconds:g} s for each row\n")
    print(table(HEADER, rows, left=2))
    print(f"\n{disturbance(others.percent())}")
    return 0


@contextmanager
def _bundle(given: Path | None) -> Iterator[Path]:
    """The bundle that is given, or one of the default model that is built for the measurement."""
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="bench-importing-") as folder:
        yield unverified_bundle(MODEL, PRECISIONS[Precision.INT8], Path(folder) / "bundle")


def _parser() -> argparse.ArgumentParser:
    cores = tuple(range(1, 1 + len(os.sched_getaffinity(0))))
    parser = parser_for("bench.importing", DESCRIPTION, EPILOG)
    parser.add_argument(
        "--bundle", type=lambda name: Path(name) if name else None, metavar="DIR", help=f"(default: one of {MODEL})"
    )
    parser.add_argument(
        "--cores",
        type=_counts,
        default=cores,
        metavar="NUMBERS",
        help=f"of the server, separated by commas (default: {','.join(map(str, cores))})",
    )
    parser.add_argument("--seconds", type=positive(float), default=SECONDS, help=f"of each row (default: {SECONDS:g})")
    return parser


def _counts(text: str) -> tuple[int, ...]:
    here = len(os.sched_getaffinity(0))
    numbers = text.split(",")
    if wrong := [number for number in numbers if not number.isdecimal() or not 0 < int(number) <= here]:
        raise argparse.ArgumentTypeError(f"must be whole numbers from 1 to {here}, not {wrong[0]!r}")
    return tuple(int(number) for number in numbers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
