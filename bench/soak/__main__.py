"""The command line of the soak: ``python -m bench.soak --help``."""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from pathlib import Path

from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for, positive
from bench.commands import run
from bench.errors import BenchError, InvalidOption
from bench.soak.fleet import starter
from bench.soak.plan import DRAIN_SECONDS, FOLLOW_SECONDS, Plan
from bench.soak.plot import plot
from bench.soak.progress import Progress
from bench.soak.report import render
from bench.soak.results import INTERRUPTED, Soak, load, save
from bench.soak.run import soak
from bench.soak.verdict import (
    MAX_DESCRIPTORS_LEFT,
    MAX_DESCRIPTORS_PER_HOUR,
    MAX_RSS_MB_PER_HOUR,
    MAX_RSS_RISE_MB,
    faults,
)
from build.errors import BuildError
from build.host.machine import host_target
from build.model.default_model import MODEL
from build.names import default_output
from build.paths import ROOT
from manifest import MANIFEST_FILE, BundleError, Precision, read_manifest

MINUTES = 10
RESTART_SECONDS = 120.0
IN_FLIGHT, LEAVERS, SLOW = 160, 8, 20
MAX_REQUESTS = 999_999
SHORTEST_SECONDS, LONGEST_SECONDS = 10.0, 24 * 3600.0

DESCRIPTION = "Load a server for minutes while it is replaced again and again: is anything lost, does anything grow?"
EPILOG = f"""\
A server of the bundle is started on this machine. All of these call it at once, over loopback:

  {IN_FLIGHT} in flight   as Weaviate does: two connections are kept, all others dialed anew, and who has no answer
                  after 50 s gives up. Lengths are log-uniform, from a word to 20 kB
  1               with a text of 1 MB, without a timeout; it begins none that a replacement would interrupt
  {LEAVERS}               that leave in the middle of a request, or before its answer, half of them with a reset
  {SLOW}              that send a request, or read an answer, in 20 pieces over 3 s

Every {RESTART_SECONDS:g} s a replacement is started beside the server, on a port of its own. Once it is ready, the old
server gets SIGTERM. Callers follow {FOLLOW_SECONDS:g} s later, as those of a Kubernetes service do. Connections that
are open stay. The old server has DRAIN_SECONDS ({DRAIN_SECONDS}) to answer; what it cuts then is counted apart.

One answer in eight is compared: with the original's vector, within the tolerance that the bundle has for it, or
with what the server answered to the same text before the load, number by number.

Tables are printed to standard output, progress to standard error. All figures are saved as JSON, and drawn as SVG
beside it. Ctrl-C ends the load, and what was measured until then is reported. docs/reliability.md explains it all.

exit status:
  0    all is well
  1    something was lost or wrong, a server failed, or something grew: memory by more than {MAX_RSS_MB_PER_HOUR:g} MB
       an hour, file descriptors by more than {MAX_DESCRIPTORS_PER_HOUR:g} an hour (the whole interval of 95 % is above
       that), memory to more than {MAX_RSS_RISE_MB:g} MB above that of a server nobody has used, or more than
       {MAX_DESCRIPTORS_LEFT} file descriptors stayed open
  130  interrupted, and all was well until then

examples:
  make soak
  make soak DURATION=90s
  make soak BUNDLE=bundles/mine DURATION=60
  .venv/build/bin/python -m bench.soak --duration 30 --restart-every 600s
  .venv/build/bin/python -m bench.soak --show bench/results/soak-2026-01-02T03-04-05Z.json
"""


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    interrupt_on_terminate()
    try:
        if options.show is not None:
            return _report(load(options.show), options.show)
        plan = _plan(options)
        bundle = _bundle(options.bundle)
        model = read_manifest(bundle).model
        measured = soak(bundle, model, plan, starter(bundle, plan.drain_seconds), Progress(plan.seconds))
    except KeyboardInterrupt:
        return fail("interrupted before the load; all servers are stopped", EXIT_INTERRUPTED)
    except (BenchError, BuildError, BundleError, OSError) as error:
        return fail(str(error), EXIT_FAILED)
    output = options.output or default_output_file()
    save(measured, output)
    return _report(measured, output)


def default_output_file() -> Path:
    return ROOT / "bench" / "results" / f"soak-{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H-%M-%SZ}.json"


def _report(measured: Soak, output: Path) -> int:
    """Print the tables, and draw the picture beside the JSON."""
    picture = output.with_suffix(".svg")
    picture.write_text(plot(measured), encoding="utf-8")
    print(render(measured))
    print(f"\nsaved as {output} and {picture}", file=sys.stderr)
    if faults(measured):
        return EXIT_FAILED
    return EXIT_INTERRUPTED if measured.stopped_by == INTERRUPTED else 0


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        seconds=options.duration,
        restart_seconds=options.restart_every,
        in_flight=options.in_flight,
        leavers=LEAVERS,
        slow=SLOW,
        max_requests=options.max_requests,
        drain_seconds=options.drain_seconds,
    )


def _bundle(given: Path | None) -> Path:
    """The bundle that is given, or the default model's, which is built if it is missing."""
    bundle = given or ROOT / default_output(MODEL, None, Precision.INT8, host_target())
    if (bundle / MANIFEST_FILE).is_file():
        return bundle.absolute()
    if given is not None:
        raise InvalidOption(f"BUNDLE must be an existing bundle, not {str(given)!r}: make bundle builds one")
    run([sys.executable, "-m", "build.make_bundle"], "the default model's bundle cannot be built")
    return bundle


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("bench.soak", DESCRIPTION, EPILOG)
    parser.add_argument("--bundle", type=_directory, metavar="DIRECTORY", help="default: the default model's, in int8")
    parser.add_argument(
        "--duration",
        type=duration,
        default=60.0 * MINUTES,
        metavar="TIME",
        help=f"of the load: 10 or 10m are minutes, 90s are seconds (default: {MINUTES})",
    )
    parser.add_argument(
        "--restart-every",
        type=duration,
        default=RESTART_SECONDS,
        metavar="TIME",
        help=f"from one replacement to the next; a longer time shows slower growth (default: {RESTART_SECONDS:g}s)",
    )
    parser.add_argument(
        "--in-flight", type=positive(int), default=IN_FLIGHT, help=f"in Weaviate's pattern (default: {IN_FLIGHT})"
    )
    parser.add_argument(
        "--max-requests",
        type=positive(int),
        default=MAX_REQUESTS,
        metavar="NUMBER",
        help=f"the soak fails where Weaviate's callers would send more (default: {MAX_REQUESTS:,})",
    )
    parser.add_argument(
        "--drain-seconds",
        type=positive(int),
        default=DRAIN_SECONDS,
        metavar="NUMBER",
        help=f"DRAIN_SECONDS of each server (default: {DRAIN_SECONDS}, as the server's)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: bench/results/soak-<date>.json")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print and draw what an earlier soak has saved")
    return parser


def duration(text: str) -> float:
    """Seconds, for argparse's ``type``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"must be minutes, such as 10 or 10m, or seconds, such as 90s, not {text!r}")
    seconds = float(match[1]) * (1 if match[2] == "s" else 60)
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        limits = f"{SHORTEST_SECONDS:g} s to {LONGEST_SECONDS / 3600:g} hours"
        raise argparse.ArgumentTypeError(f"must be from {limits}, not {text!r}")
    return seconds


def _directory(name: str) -> Path | None:
    """None for an empty name, which make passes where BUNDLE is not set."""
    return Path(name).expanduser() if name else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
