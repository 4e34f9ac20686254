"""The command line of the kernels' benchmark: ``python -m bench.kernels --help``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for
from bench.report.machine import OtherLoad, describe_machine, disturbance, heading
from build.errors import BuildError
from build.kernels import ARCHITECTURES, build_program, for_image
from build.paths import ROOT
from manifest import Target
from runtime.host.cpu import host_target

SCALAR = "scalar"

DESCRIPTION = "Time the native kernels of every instruction set that runs on this machine, on one core."
EPILOG = """\
For each instruction set, the first line is the ceiling: billions of 8-bit multiplications and additions per second
(GOPS) in a loop on registers alone, measured in the same run. The next lines are matrix products of
all-MiniLM-L6-v2's shapes by the number of rows (tokens), with their part of that ceiling, then the kernels between the
products. Few rows are bound by reading the weights; from 128 rows on, a low part of the ceiling means that the machine
was busy, throttled, or shares its core with another thread. The last line says how busy others were.

instruction sets:
{names}

examples:
  make bench-kernels
  .venv/build/bin/python -m bench.kernels avx512vnni avx2
"""


def main(arguments: list[str]) -> int:
    target = host_target()
    if target is None:
        return fail("the kernels are for amd64 and arm64", EXIT_FAILED)
    options = _parser(target).parse_args(arguments)
    interrupt_on_terminate()
    try:
        return _run(target, options.isas)
    except KeyboardInterrupt:
        return fail("interrupted", EXIT_INTERRUPTED)
    except BuildError as error:
        return fail(str(error), EXIT_FAILED)


def _run(target: Target, isas: Sequence[str]) -> int:
    """Compile and run the program. Returns its exit status, and raises ``BuildError``."""
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="bench-kernels-") as directory:
        program = build_program("benchmark", target, for_image(target), Path(directory), defines=["CPU2VEC_BENCH"])
        print(heading(machine, ROOT, "one core is used"), flush=True)
        others = OtherLoad()
        status = subprocess.run([program, *([",".join(isas)] if isas else [])], check=False).returncode
        if status == 0:
            print(disturbance(others.percent()))
        return status


def _parser(target: Target) -> argparse.ArgumentParser:
    names = (*ARCHITECTURES[target].isas, SCALAR)
    parser = parser_for("bench.kernels", DESCRIPTION, EPILOG.format(names="\n".join(f"  {name}" for name in names)))
    parser.add_argument(
        "isas",
        metavar="NAME",
        nargs="*",
        type=_one_of(names),
        help="instruction sets, in the order to run (default: all that this machine has, the best first)",
    )
    return parser


def _one_of(names: Sequence[str]) -> Callable[[str], str]:
    def parse(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(names)}, not {name!r}")
        return name

    return parse


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
