"""What a Unix socket and base64 give a process beside the server: ``python -m bench.static.neighbor --help``."""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for, positive
from bench.environment import RUNTIME_ENVIRONMENT, python_in
from bench.errors import BenchError
from bench.load.embeddings import BASE64, FLOAT, Embeddings
from bench.load.kept_connections import Connection
from bench.load.routes import Route
from bench.load.texts import SHORT
from bench.load.vectors import MODEL2VEC, Vectors
from bench.load.wire import ANSWER_SECONDS, Request
from bench.progress import Stopwatch
from bench.report.machine import OtherLoad, describe_machine, disturbance, heading
from bench.report.statistics import median
from bench.report.tables import table
from bench.server.process import Server
from bench.server.runtime import bundle_of, runtime_system, serve_bundle
from bench.server.system import Launch
from bench.static.model import DIMENSIONS, distilled_model
from bench.static.systems import PRECISION
from build.errors import BuildError
from build.model.files import ModelFiles
from build.paths import ROOT

PREPARED = 64
"""Requests of a case, which are sent again and again."""

DESCRIPTION = "Ask one server over its port and over a Unix socket, in turns, by one connection that is kept."
EPILOG = """\
The server listens on both, which the runtime itself does not: it has the port alone. It serves the static model that
`make bench KIND=static` makes.
"""

HEADER = ("request", "over", "texts/s", "p50 ms", "server's CPU µs per text", "caller's CPU µs per text")


class UnixConnection(Connection):
    """The same over a Unix socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(ANSWER_SECONDS)
        self.socket.connect(str(path))
        self.reset()


@dataclass(frozen=True)
class Case:
    """What is asked for."""

    name: str
    route: Route
    texts: int = 1


CASES = (
    Case("1 text, /vectors", Vectors(DIMENSIONS, MODEL2VEC)),
    *(
        Case(f"{texts} texts, {encoding}", Embeddings(DIMENSIONS, texts, encoding), texts)
        for texts in (32, 512)
        for encoding in (FLOAT, BASE64)
    ),
)


@dataclass
class Figures:
    """One case over one kind of socket; one value for each turn, of a text."""

    rates: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    caller: list[float] = field(default_factory=list)


def take_turn(
    server: Server, connection: Connection, case: Case, requests: Sequence[Request], seconds: float, found: Figures
) -> None:
    """Ask for so long, one request after another. Raises ``LoadFailed`` for a wrong answer."""
    before, own, start = server.cpu_seconds(), time.process_time(), time.perf_counter()
    latencies: list[float] = []
    while time.perf_counter() - start < seconds:
        request = requests[len(latencies) % len(requests)]
        connection.send(request)
        while (response := connection.receive()) is None:
            pass
        latencies.append(time.perf_counter() - connection.sent_at)
        case.route.check(response, request)
    elapsed, texts = time.perf_counter() - start, case.texts * len(latencies)
    found.rates.append(texts / elapsed)
    found.milliseconds.append(median(latencies) * 1e3)
    found.server.append((server.cpu_seconds() - before) / texts * 1e6)
    found.caller.append((time.process_time() - own) / texts * 1e6)


def measure(model: ModelFiles, bundle: Path, turns: int, seconds: float) -> dict[tuple[str, str], Figures]:
    """By case and kind of socket. Raises ``BenchError``."""
    with tempfile.TemporaryDirectory(prefix="bench-neighbor-") as folder:
        path = Path(folder) / "socket"
        server = replace(runtime_system(PRECISION), launch=lambda _, port: launch_both(bundle, path, port)).start(model)
        try:
            return dict(_figures(server, path, turns, seconds))
        finally:
            server.stop()


def launch_both(bundle: Path, path: Path, port: int) -> Launch:
    """The runtime on a port and on a path."""
    launch = serve_bundle(RUNTIME_ENVIRONMENT, bundle, port)
    return replace(launch, command=[python_in(RUNTIME_ENVIRONMENT), "-m", "bench.static.both_sockets", path])


def _figures(server: Server, path: Path, turns: int, seconds: float) -> Iterator[tuple[tuple[str, str], Figures]]:
    for case in CASES:
        requests = list(islice(case.route.requests(SHORT, server.port, case.name), PREPARED))
        found = {"TCP": Figures(), "Unix": Figures()}
        for number in range(turns):
            for name in found if number % 2 else reversed(found):
                connection = Connection(server.port) if name == "TCP" else UnixConnection(path)
                try:
                    take_turn(server, connection, case, requests, seconds, found[name])
                finally:
                    connection.socket.close()
        yield from (((case.name, name), figures) for name, figures in found.items())


def render(found: dict[tuple[str, str], Figures]) -> str:
    """A table: medians of the turns."""
    rows = [
        [
            case,
            name,
            f"{median(each.rates):.0f}",
            f"{median(each.milliseconds):.3f}",
            f"{median(each.server):.1f}",
            f"{median(each.caller):.1f}",
        ]
        for (case, name), each in found.items()
    ]
    return table(HEADER, rows, left=2)


def main(arguments: Sequence[str]) -> int:
    parser = parser_for("bench.static.neighbor", DESCRIPTION, EPILOG)
    parser.add_argument("--turns", type=positive(int), default=10, help="of each case (default: 10)")
    parser.add_argument("--seconds", type=positive(float), default=1.0, help="of each turn (default: 1)")
    options = parser.parse_args(arguments)
    machine, others, log = describe_machine(), OtherLoad(), Stopwatch().log
    interrupt_on_terminate()
    try:
        model = distilled_model()
        runtime_system(PRECISION).prepare(model)
        log(f"{options.turns} turns of each case")
        found = measure(model, bundle_of(model, PRECISION), options.turns, options.seconds)
    except KeyboardInterrupt:
        return fail("interrupted; all servers are stopped", EXIT_INTERRUPTED)
    except (BenchError, BuildError) as error:
        return fail(str(error), EXIT_FAILED)
    print(heading(machine, ROOT))
    print(f"1 connection, {options.turns} turns of {options.seconds:g} s for each row, medians\n\n{render(found)}\n")
    print(disturbance(others.percent()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
