"""Puts as many texts on a server as Weaviate's imports do, and counts those that are answered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.environment import RUNTIME_ENVIRONMENT, python_in
from bench.load.loads import Group, Load, LoadSpec
from bench.load.texts import EIGHT_KB, LONG, Length
from bench.server.measured_system import generate_load
from bench.server.process import Server, free_port
from build.paths import ROOT
from manifest import TextModel, read_manifest

LENGTHS = (
    LONG,
    Length("2kb", 318, 328, "2 kB"),
    Length("512-words", 512, 512, "512 words"),
    EIGHT_KB,
    Length("20kb", 3180, 3270, "20 kB"),
)
IN_FLIGHT = 20
"""Weaviate's server-side batching has 10 requests in flight for each of its processors, here 2."""

FIRST_BATCH, BATCH_SECONDS = 200, 60
"""The objects of a worker's first batch, and the time that it gives a batch."""


@dataclass(frozen=True)
class Rate:
    """What a server did with texts of one length."""

    length: Length
    texts_per_second: float

    @property
    def most_processors(self) -> int:
        """The highest GOMAXPROCS whose first batches are answered in time; 0: not even one is."""
        return int(self.texts_per_second * BATCH_SECONDS / FIRST_BATCH)


@contextmanager
def served(bundle: Path, cores: int) -> Iterator[Server]:
    """A server of the bundle with so many cores of this machine. Raises ``BenchError``."""
    port = free_port()
    environment = {"PATH": os.defpath, "BUNDLE_DIR": str(bundle.absolute()), "PORT": str(port), "LOG_LEVEL": "warning"}
    everywhere = os.sched_getaffinity(0)
    # NOTE: the server inherits it; the load generator, which has to run beside it, must not.
    os.sched_setaffinity(0, sorted(everywhere)[:cores])
    try:
        server = Server([python_in(RUNTIME_ENVIRONMENT), "-m", "runtime"], port, environment, ROOT)
    finally:
        os.sched_setaffinity(0, everywhere)
    try:
        yield server
    finally:
        server.stop()


def measure(server: Server, dim: int, length: Length, seconds: float) -> Rate:
    """Raises ``BenchError``, also if a text is lost."""
    load = Load(length, IN_FLIGHT, Group.WEAVIATE)
    spec = LoadSpec(server.port, load, seconds, load.max_requests(seconds), dim, length.name)
    result = generate_load(spec)
    return Rate(length, result.answers / result.seconds)


def components_of(bundle: Path) -> int:
    """The components of the vectors. Raises ``BundleError``."""
    return read_manifest(bundle).section_as(TextModel).dim
