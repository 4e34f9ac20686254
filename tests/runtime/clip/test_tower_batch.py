from __future__ import annotations

from typing import Any

import numpy as np

from runtime.clip.image_embedder import ImageRun
from runtime.clip.tower_batch import TowerBatch
from runtime.images.outline import Outline
from runtime.images.refusals import Truncated
from runtime.inference.token_batch import TokenBatch
from runtime.inference.token_run import ConsecutiveRuns, TokenRun
from runtime.scheduling.memory_budget import MemoryBudget
from tests.support.scheduling import ends_turn

OUTLINE = Outline("PNG", 1, 1, ())


class Lines:
    """An engine whose tokens are their ids."""

    supports_batching = True
    pools = False

    def run(self, batch: TokenBatch, cores: int) -> np.ndarray:
        return batch.ids[:, np.newaxis].astype(np.float32)


class Images:
    """Returns the number of cores, or raises."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def run(self, outline: Outline, cores: int) -> Any:
        if self.failure is not None:
            raise self.failure
        return np.array([cores])


ENGINE = Lines()


def a_text(*ids: int) -> TokenRun:
    return TokenRun(ENGINE, TokenBatch.of(list(ids)), 10)


def an_image(failure: Exception | None = None) -> ImageRun:
    return ImageRun(Images(failure), OUTLINE)


def batch() -> TowerBatch:
    return TowerBatch(MemoryBudget(1000))


def test_texts_share_a_run():
    runs = batch()
    assert runs.add(a_text(1, 2))
    assert runs.add(a_text(3))
    assert [result.tolist() for result in runs.run(1, ends_turn)] == [[[1], [2]], [[3]]]


def test_consecutive_runs_of_texts_are_steps_of_a_turn():
    runs = batch()
    assert runs.add(ConsecutiveRuns(ENGINE, [TokenBatch.of([number]) for number in (1, 2, 3)], 10))
    assert not runs.has_capacity
    assert not runs.add(an_image())
    assert [result.tolist() for result in runs.run(1, lambda steps: steps < 2)[0]] == [[[1]], [[2]]]
    assert runs.steps == 2


def test_an_image_runs_alone_on_the_cores_that_there_are():
    runs = batch()
    assert runs.add(an_image())
    assert not runs.has_capacity
    assert not runs.add(an_image())
    assert not runs.add(a_text(1))
    assert [result.tolist() for result in runs.run(2, ends_turn)] == [[2]]
    assert runs.steps == 1


def test_no_image_joins_texts():
    runs = batch()
    runs.add(a_text(1))
    assert runs.has_capacity
    assert not runs.add(an_image())
    assert len(runs.run(1, ends_turn)) == 1


def test_a_failure_is_the_images_own():
    failure = Truncated("PNG")
    runs = batch()
    runs.add(an_image(failure))
    assert runs.run(1, ends_turn) == [failure]
