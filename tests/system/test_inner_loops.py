"""The inner loops of dot products as the compiler made them: their instructions, and their cycles by LLVM's models."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from build.kernels import ensure
from manifest import Target
from tests.support.programs.inner_loops import Loop, estimate, inner_loops

pytestmark = pytest.mark.system

SLACK = 1.15
"""A loop may take this many times what its arithmetic alone needs."""

SLACK_AT_EDGES = 1.25
"""The same for the few columns that are left at the edge of a weight, and for a single row: loads and the loop's own
instructions weigh more there."""


@dataclass(frozen=True)
class Kind:
    """The loops of one instruction set, or of several that share them."""

    target: Target
    arithmetic: str
    """A pattern of the instructions that a dot product consists of; the last of them adds to a sum."""
    adds: str
    """A pattern of the instruction that adds to a sum."""
    largest: tuple[int, int]
    """The rows and vectors of the largest tile."""
    cpus: tuple[str, ...]
    """LLVM's names of CPUs whose models count these instructions rightly."""


KINDS = {
    "VNNI, 512 bits": Kind(
        Target.AMD64, r"vpdp\w+\s.*%zmm", r"vpdp\w+\s.*%zmm", (8, 3), ("cascadelake", "icelake-server")
    ),
    "VNNI, 256 bits": Kind(
        Target.AMD64, r"\{vex\}\s+vpdp\w+\s.*%ymm", r"\{vex\}\s+vpdp\w+\s.*%ymm", (6, 2), ("icelake-server",)
    ),
    "AVX2": Kind(Target.AMD64, r"vpxor|vpmaddubsw|vpmaddwd|vpaddd", r"vpaddd\s.*%ymm", (4, 2), ("haswell", "skylake")),
    "NEON": Kind(Target.ARM64, r"sdot\s", r"sdot\s", (4, 4), ("neoverse-n1", "neoverse-v1")),
}

PREFETCH = r"prefetch|prfm"
LOAD = r"v\w+\s.*\(.*\), |ld[rp1]|prefetch|prfm"
ON_THE_STACK = r".*(%rsp|\bsp\b)"
STORE = r"(v?mov\S*\s+%.*\)$|st[rpu]\w*\s|st1\s)"
MOVE = r"(v?mov\S*\s+%\S+, %\S+$|mov\s+[vxw]\S+, [vxw]\S+$)"


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> dict[Target, list[Loop]]:
    def of(target: Target) -> list[Loop]:
        scratch: Path = tmp_path_factory.mktemp(target)
        return inner_loops(ensure(target), scratch)

    return {target: of(target) for target in Target}


def of_kind(loops: dict[Target, list[Loop]], kind: Kind) -> list[Loop]:
    return [loop for loop in loops[kind.target] if loop.those(kind.adds)]


def test_every_marked_loop_is_of_one_kind(loops: dict[Target, list[Loop]]):
    for target, found in loops.items():
        kinds = [kind for kind in KINDS.values() if kind.target is target]
        assert found
        assert all(sum(bool(loop.those(kind.adds)) for kind in kinds) == 1 for loop in found)


@pytest.mark.parametrize("name", KINDS)
def test_all_tiles_have_a_loop_with_and_without_prefetches(loops: dict[Target, list[Loop]], name: str):
    kind = KINDS[name]
    rows, vectors = kind.largest
    shapes = {(loop.rows, loop.vectors, bool(loop.ahead)) for loop in of_kind(loops, kind)}
    assert shapes >= {(row + 1, vectors, ahead) for row in range(rows) for ahead in (False, True)}
    assert max(shapes)[:2] == (rows, vectors)


@pytest.mark.parametrize("name", KINDS)
def test_sums_stay_in_their_registers(loops: dict[Target, list[Loop]], name: str):
    for loop in of_kind(loops, KINDS[name]):
        assert not loop.those(ON_THE_STACK) + loop.those(STORE) + loop.those(MOVE), loop


@pytest.mark.parametrize("name", KINDS)
def test_only_the_wanted_weights_are_prefetched(loops: dict[Target, list[Loop]], name: str):
    kind = KINDS[name]
    for loop in of_kind(loops, kind):
        quads = len(loop.those(kind.adds)) / (loop.rows * loop.vectors)
        assert len(loop.those(PREFETCH)) == loop.ahead * quads, loop


@pytest.mark.parametrize(("name", "cpu"), [(name, cpu) for name, kind in KINDS.items() for cpu in kind.cpus])
def test_a_step_takes_little_longer_than_its_arithmetic(loops: dict[Target, list[Loop]], name: str, cpu: str):
    """Tiles of few rows are bound by loads, or by the time from one addition to a sum to the next one."""
    kind = KINDS[name]

    @cache
    def latency(addition: str) -> float:
        return estimate([addition], kind.target, cpu).cycles

    for loop in of_kind(loops, kind):
        additions = loop.those(kind.adds)
        whole = estimate(loop.instructions, kind.target, cpu)
        ports, loads = whole.busiest_port(kind.arithmetic), whole.busiest_port(LOAD)
        chain = latency(additions[0]) * len(additions) / (loop.rows * loop.vectors)
        slack = SLACK if loop.rows > 1 and loop.vectors == kind.largest[1] else SLACK_AT_EDGES
        assert whole.cycles <= slack * max(ports, chain, loads), (whole.cycles, ports, chain, loads, loop)
        if (loop.rows, loop.vectors) == kind.largest:
            assert whole.cycles <= SLACK * ports, (whole.cycles, ports, loop)
