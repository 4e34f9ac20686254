"""Sessions: which of a pair runs a batch, which runs release memory, and the messages for what does not load."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from manifest import BundleError
from runtime.errors import InferenceFailed
from runtime.host.priority import LOWEST, NICER
from runtime.inference.padded_engine import SATURATION_GRAPH
from runtime.inference.session import LONG_RUN_TOKENS, WIDE_FROM_TOKENS, Session, SessionPair
from tests.support.patience import PATIENCE

OUTPUT = "products"


class Recorded(Session):
    """A session that keeps, of each run, its own threads and whether the run's memory was released."""

    def __init__(self, threads: int, runs: list[tuple[int, bool]]) -> None:
        super().__init__(SATURATION_GRAPH, threads, {})
        self._threads, self._runs = threads, runs

    def run(self, output: str, feed: dict, release: bool = False) -> np.ndarray:
        self._runs.append((self._threads, release))
        return super().run(output, feed, release)


def feed_of(tokens: int) -> dict[str, np.ndarray]:
    return {"activations": np.random.default_rng(tokens).integers(0, 8, (tokens, 32)).astype(np.uint8)}


def run_on(tokens: int, cores: int, available: int = 2, wide_from: int = WIDE_FROM_TOKENS) -> tuple[int, bool]:
    """The threads of the session that ran, and whether it released memory."""
    runs: list[tuple[int, bool]] = []
    pair = SessionPair.open(lambda threads: Recorded(threads, runs), available, wide_from)
    products = pair.run(OUTPUT, feed_of(tokens), tokens, cores)
    np.testing.assert_array_equal(
        products, feed_of(tokens)["activations"].sum(axis=1, keepdims=True).repeat(32, 1) * 127
    )
    (run,) = runs
    return run


@pytest.mark.parametrize(
    ("tokens", "cores", "threads"),
    [(WIDE_FROM_TOKENS, 2, 2), (WIDE_FROM_TOKENS, 1, 1), (WIDE_FROM_TOKENS - 1, 2, 1), (1, 1, 1), (1000, 2, 2)],
)
def test_the_wide_session_runs_long_batches_that_may_use_all_cores(tokens: int, cores: int, threads: int):
    assert run_on(tokens, cores)[0] == threads


@pytest.mark.parametrize(("tokens", "threads"), [(4, 1), (5, 2)])
def test_who_opens_a_pair_says_from_how_many_tokens_on_it_is_wide(tokens: int, threads: int):
    assert run_on(tokens, 2, wide_from=5)[0] == threads


def test_on_one_core_both_are_one_session():
    pair = SessionPair.open(lambda threads: Session(SATURATION_GRAPH, threads, {}), 1)
    assert pair.wide is pair.narrow
    assert run_on(1000, 1, available=1) == (1, True)


@pytest.mark.parametrize("cores", [1, 2])
def test_only_long_runs_release_their_memory(cores: int):
    assert not run_on(LONG_RUN_TOKENS, cores)[1]
    assert run_on(LONG_RUN_TOKENS + 1, cores)[1]


@pytest.mark.parametrize("arena", [True, False])
@pytest.mark.parametrize("release", [True, False])
def test_a_run_gives_the_same_with_and_without_an_arena_and_released_or_not(arena: bool, release: bool):
    session = Session(SATURATION_GRAPH, 1, {}, arena=arena)
    for _ in range(3):
        assert session.run(OUTPUT, feed_of(4), release).shape == (4, 32)


def test_a_graph_that_does_not_load_is_named(tmp_path: Path):
    path = tmp_path / "model.onnx"
    with pytest.raises(BundleError, match=r"^model.onnx cannot be loaded: .*"):
        Session(path, 1, {})
    path.write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"^model.onnx cannot be loaded: .*"):
        Session(path, 1, {})


def test_a_library_of_ops_that_does_not_load_is_named_with_the_command_that_makes_it(tmp_path: Path):
    library = tmp_path / "libops.so"
    library.write_bytes(b"no library")
    with pytest.raises(BundleError, match=r"^libops.so cannot be used: .*; run `make kernels`$"):
        Session(SATURATION_GRAPH, 1, {}, library)


def test_a_run_that_fails_is_translated_to_one_line_and_the_next_one_works():
    session = Session(SATURATION_GRAPH, 1, {})
    with pytest.raises(InferenceFailed, match=r"^onnxruntime failed: [^\n]+$"):
        session.run(OUTPUT, {"activations": np.zeros((4, 31), np.uint8)})
    assert session.run(OUTPUT, feed_of(4)).shape == (4, 32)


def nice_values() -> Counter[int]:
    """The nice values of this process's threads; see proc(5)."""
    stats = [(task / "stat").read_text() for task in Path("/proc/self/task").iterdir()]
    return Counter(int(stat.rpartition(")")[2].split()[16]) for stat in stats)


def test_the_threads_of_a_session_have_a_lower_priority():
    before = nice_values()
    pair = SessionPair.open(lambda threads: Session(SATURATION_GRAPH, threads, {}), 3)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    # NOTE: a thread that was joined is in the list for another moment: the one that has opened the sessions.
    deadline = time.monotonic() + PATIENCE
    while (started := nice_values() - before) != {min(LOWEST, own + NICER): 2} and time.monotonic() < deadline:
        time.sleep(0.01)
    assert started == {min(LOWEST, own + NICER): 2}
    pair.run(OUTPUT, feed_of(64), 64, 3)
