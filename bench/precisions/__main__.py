"""The command line of the benchmark of precisions: ``python -m bench.precisions --help``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for
from bench.errors import BenchError
from bench.precisions import engine_times, fidelity
from bench.precisions.variants import NATIVE, OLDER, STOCK, UNCALIBRATED, build_variants
from bench.progress import Log, Stopwatch
from bench.report.machine import OtherLoad, describe_machine, disturbance
from bench.report.tables import table
from build.errors import BuildError
from build.model.default_model import MODEL
from build.model.fetch import fetch
from build.model.trust import NO_TRUST

DESCRIPTION = "Measure what int8 costs in fidelity and saves in time, beside fp32, for one model."
EPILOG = f"""\
Builds a bundle for each way of storing weights, and prints two tables. The first compares the vectors that each
bundle's server returns with the original's: cosines, the rank correlation with scores that people gave, and the part of
each text's ten nearest neighbors that stays. The second has the time of a run on one core, also as a multiple of the
first row's.
Tables are printed to standard output, progress to standard error; docs/fidelity.md explains them.

weights:
  {UNCALIBRATED:<26}onnxruntime's int8 kernels, weights rounded as they are
  {STOCK:<26}the same kernels, scales and rounding chosen by the measured error
  {NATIVE:<26}the native kernels
  {f"{NATIVE}, {OLDER}":<26}the native kernels with the instructions of a CPU without VNNI, where this one has it
  fp32                      the original's weights in onnxruntime

--stsb names a directory with en-dev.csv, de-dev.csv and zh-dev.csv, the development files of the STS benchmark and of
its translations; each of their lines is "sentence,sentence,score". Without it only the held-out texts are measured.

examples:
  make bench-fidelity STSB=~/stsb
  .venv/build/bin/python -m bench.precisions --model ./my-model
"""


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    interrupt_on_terminate()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-precisions-") as folder:
            _measure(options.model, options.stsb, Path(folder), Stopwatch().log)
    except KeyboardInterrupt:
        return fail("interrupted; all servers are stopped", EXIT_INTERRUPTED)
    except (BenchError, BuildError) as error:
        return fail(str(error), EXIT_FAILED)
    return 0


def _measure(model: str, stsb: Path | None, folder: Path, log: Log) -> None:
    machine = describe_machine()
    sets = list(fidelity.text_sets(fetch(model, None, NO_TRUST).directory, stsb, log))
    variants = build_variants(model, folder, log)
    print(f"{model}  \n{machine}; load average before: {machine.load_average:.2f}\n")
    print(table(fidelity.HEADER, fidelity.fidelity_rows(variants, sets, log), left=2), flush=True)
    others = OtherLoad()
    rows = engine_times.time_rows(variants, log)
    print("", table(engine_times.HEADER, rows, left=1), "", disturbance(others.percent()), sep="\n")


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("bench.precisions", DESCRIPTION, EPILOG)
    parser.add_argument("--model", default=MODEL, help=f"id on the hub, or a local directory (default: {MODEL})")
    parser.add_argument("--stsb", type=Path, metavar="DIRECTORY", help="the directory with scored pairs of sentences")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
