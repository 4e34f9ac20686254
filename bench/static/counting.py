"""What counting for ``/metrics`` costs a static model's shortest texts: ``python -m bench.static.counting --help``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for, positive
from bench.environment import RUNTIME_ENVIRONMENT, python_in
from bench.errors import BenchError
from bench.load.loads import Load, LoadSpec
from bench.load.modules import Module
from bench.load.texts import Length
from bench.progress import Stopwatch
from bench.report.machine import OtherLoad, describe_machine, disturbance, heading
from bench.report.statistics import median, percentile
from bench.report.tables import table
from bench.server.measured_system import generate_load
from bench.server.process import Server
from bench.server.runtime import bundle_of, runtime_system, serve_bundle
from bench.server.system import Launch, System
from bench.static.loads import MAX_WORDS_PER_SECOND
from bench.static.model import DIMENSIONS, distilled_model
from bench.static.systems import PRECISION
from build.errors import BuildError
from build.model.files import ModelFiles
from build.paths import ROOT

WORDS = Length("six", 6, 6, "6 words")
IN_FLIGHT = 8

DESCRIPTION = "Show what counting for /metrics costs, by a server beside another that counts nothing."
EPILOG = """\
Both serve the static model that `make bench KIND=static` makes. They have turns, in pairs whose order changes. The
figures of a pair are compared with each other.
"""

HEADER = ("server", "requests/s", "CPU µs per request")


@dataclass
class Turns:
    """One server, and the figures of its turns."""

    name: str
    server: Server
    rates: list[float] = field(default_factory=list)
    microseconds: list[float] = field(default_factory=list)

    def take(self, seconds: float, seed: str) -> None:
        """Load the server once. Raises ``LoadFailed``."""
        load = Load(WORDS, IN_FLIGHT, max_words_per_second=MAX_WORDS_PER_SECOND, module=Module.TEXT2VEC_MODEL2VEC)
        spec = LoadSpec(self.server.port, load, seconds, load.max_requests(seconds), DIMENSIONS, seed)
        before = self.server.cpu_seconds()
        result = generate_load(spec)
        self.rates.append(result.requests_per_second)
        self.microseconds.append((self.server.cpu_seconds() - before) / result.answers * 1e6)


def measure(systems: Sequence[System], model: ModelFiles, pairs: int, seconds: float) -> list[Turns]:
    """The turns of each system; the servers are stopped at the end. Raises ``BenchError``."""
    started: list[Turns] = []
    try:
        for system in systems:
            system.prepare(model)
            started.append(Turns(system.name, system.start(model)))
        for number in range(pairs):
            for turns in started if number % 2 else reversed(started):
                turns.take(seconds, f"pair {number}")
        return started
    finally:
        for turns in started:
            turns.server.stop()


def counted_and_not() -> tuple[System, System]:
    """The runtime as it is, and one that counts nothing."""
    counting = runtime_system(PRECISION)

    def uncounted(model: ModelFiles, port: int) -> Launch:
        launch = serve_bundle(RUNTIME_ENVIRONMENT, bundle_of(model, PRECISION), port)
        return replace(launch, command=[python_in(RUNTIME_ENVIRONMENT), "-m", "bench.static.uncounted"])

    return counting, replace(counting, name="uncounted", launch=uncounted)


def render(counted: Turns, uncounted: Turns) -> str:
    """A table, and what counting costs in percent: the medians of the pairs, and the middle half of them."""
    rows = [
        [turns.name, f"{median(turns.rates):.0f}", f"{median(turns.microseconds):.1f}"]
        for turns in (counted, uncounted)
    ]
    rates = [(other / own - 1) * 100 for own, other in zip(counted.rates, uncounted.rates, strict=True)]
    cpu = [(own / other - 1) * 100 for own, other in zip(counted.microseconds, uncounted.microseconds, strict=True)]
    lines = [f"counting takes {_spread(rates)} of the requests/s, and {_spread(cpu)} of the CPU of a request"]
    return "\n\n".join([table(HEADER, rows, left=1), *lines])


def _spread(percents: Sequence[float]) -> str:
    low, middle, high = (percentile(percents, percent) for percent in (25, 50, 75))
    return f"{middle:.1f} % ({low:.1f} to {high:.1f} in half of the pairs)"


def main(arguments: Sequence[str]) -> int:
    parser = parser_for("bench.static.counting", DESCRIPTION, EPILOG)
    parser.add_argument("--pairs", type=positive(int), default=60, help="of turns (default: 60)")
    parser.add_argument("--seconds", type=positive(float), default=0.5, help="of each turn (default: 0.5)")
    options = parser.parse_args(arguments)
    machine, others, log = describe_machine(), OtherLoad(), Stopwatch().log
    interrupt_on_terminate()
    try:
        model = distilled_model()
        log(f"{options.pairs} pairs of turns")
        counted, uncounted = measure(counted_and_not(), model, options.pairs, options.seconds)
    except KeyboardInterrupt:
        return fail("interrupted; all servers are stopped", EXIT_INTERRUPTED)
    except (BenchError, BuildError) as error:
        return fail(str(error), EXIT_FAILED)
    print(heading(machine, ROOT))
    print(f"{WORDS}, {IN_FLIGHT} connections, {options.pairs} pairs of turns of {options.seconds:g} s\n")
    print(f"{render(counted, uncounted)}\n\n{disturbance(others.percent())}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
