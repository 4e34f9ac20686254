"""Which causes are found, in a world where every vector is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from build.compare import causes
from build.compare.causes import SAMPLE, Experiment, Finding, find_causes, sample
from build.compare.hypotheses import TRUNCATE, Cause, Hypothesis, explanations, pooled_by
from build.compare.neighbors import unit
from manifest import PoolingMode
from tests.support.bundles.text_models import a_text_model
from tests.support.compare.vectors import moved, vectors

CLS = Hypothesis(a_text_model(PoolingMode.CLS))
ENOUGH = 0.99


class World:
    """Vectors of each hypothesis: ``own`` with CLS pooling, others with mean pooling; truncation moves long texts."""

    def __init__(self, texts: int = 40) -> None:
        self.own, self.mean = vectors(1, texts), vectors(2, texts)
        self.long = np.arange(texts) < texts // 4
        self.tried: list[Hypothesis] = []

    def of(self, hypothesis: Hypothesis) -> np.ndarray:
        mean = hypothesis.model.main_encoder.pooling.modes == (PoolingMode.MEAN,)
        result = (self.mean if mean else self.own).copy()
        if hypothesis.long_text == TRUNCATE:
            result[self.long] = moved(result[self.long], 0.6, seed=5)
        return result

    def embed(self, hypothesis: Hypothesis) -> np.ndarray:
        self.tried.append(hypothesis)
        return self.of(hypothesis)

    def causes(self, old: np.ndarray) -> tuple[Finding, ...]:
        return find_causes(Experiment(old, None, self.embed, ENOUGH), CLS, self.own)


MEAN = replace(CLS, model=pooled_by(CLS.model, PoolingMode.MEAN))


def test_one_cause_that_explains_everything_is_found():
    (finding,) = World().causes(World().of(MEAN))
    assert finding.cause is Cause.MEAN_POOLING
    assert finding.text == "the old container uses mean pooling, and this model declares cls"
    assert finding.cosine == pytest.approx(1)


def test_two_causes_are_found_one_after_the_other():
    first, second = World().causes(World().of(replace(MEAN, long_text=TRUNCATE)))
    assert [first.cause, second.cause] == [Cause.MEAN_POOLING, Cause.TRUNCATION]
    assert first.cosine is not None
    assert first.cosine < 0.95
    assert second.cosine == pytest.approx(1)


def test_a_small_remaining_difference_is_rounding():
    first, rest = World().causes(moved(World().of(MEAN), 0.95))
    assert [first.cause, rest.cause] == [Cause.MEAN_POOLING, Cause.ROUNDING]
    assert rest.text.startswith("the remaining difference, a mean cosine of 0.95")


def test_nothing_more_is_tried_once_enough_is_explained():
    world = World()
    assert [finding.cause for finding in world.causes(moved(world.of(MEAN), 0.998))] == [Cause.MEAN_POOLING]
    assert len(world.tried) == len(explanations(CLS, None))


def test_vectors_of_the_same_direction_need_no_trial():
    world = World()
    assert world.causes(world.own * np.float32(3)) == ()
    assert world.tried == []


@pytest.mark.parametrize(
    ("cosine", "cause"),
    [(0.97, Cause.ROUNDING), (0.91, Cause.ROUNDING), (0.75, Cause.UNKNOWN), (0.05, Cause.ANOTHER_MODEL)],
)
def test_an_unexplained_difference_is_named_by_its_size(cosine: float, cause: Cause):
    (finding,) = World().causes(moved(World().own, cosine))
    assert (finding.cause, finding.cosine) == (cause, None)


def test_a_mean_vector_that_all_texts_share_is_no_likeness():
    """As between two models whose vectors all lie in one corner."""
    corner = 5 * vectors(9, texts=1)
    world = World()
    experiment = Experiment(vectors(7, 40) + corner, None, lambda hypothesis: world.of(hypothesis) + corner, ENOUGH)
    (finding,) = find_causes(experiment, CLS, world.own + corner)
    assert finding.cause is Cause.ANOTHER_MODEL
    assert finding.text.startswith("a mean cosine of 0.9")


def test_long_texts_that_are_neither_truncated_nor_averaged_are_found():
    world = World()
    old = world.own.copy()
    old[world.long] = moved(old[world.long], 0.5, seed=8)
    (finding,) = world.causes(old)
    assert finding.cause is Cause.LONG_TEXTS
    assert "(10 of the 40 that were tried)" in finding.text


@pytest.mark.parametrize("width", [8, 16])
def test_the_first_components_are_found_in_either_direction(width: int):
    world = World()
    (finding,) = world.causes(unit(world.own[:, :width]))
    assert finding.cause is Cause.FIRST_COMPONENTS
    assert finding.text == f"the old vectors are the first {width} components of the new ones"
    experiment = Experiment(world.own, None, lambda hypothesis: world.of(hypothesis)[:, :width], ENOUGH)
    (other,) = find_causes(experiment, CLS, world.own[:, :width])
    assert other.text == f"the new vectors are the first {width} components of the old ones"


def test_the_first_components_under_another_hypothesis_are_two_causes():
    found = [finding.cause for finding in World().causes(World().of(MEAN)[:, :8])]
    assert found == [Cause.MEAN_POOLING, Cause.FIRST_COMPONENTS]


def test_other_sizes_without_a_likeness_are_another_model():
    assert [finding.cause for finding in World().causes(vectors(3, 40, 8))] == [Cause.ANOTHER_MODEL]


@pytest.mark.parametrize("texts", [2, 3])
def test_a_few_texts_are_enough_to_find_a_cause(texts: int):
    world = World(texts)
    assert world.causes(world.of(MEAN))[0].cause is Cause.MEAN_POOLING


@pytest.mark.parametrize("texts", [2, SAMPLE, SAMPLE + 1, 1000])
def test_the_sample_has_the_worst_texts_and_some_of_all(texts: int):
    old = vectors(1, texts)
    new = moved(old, 0.9)
    indices = sample(old, new).tolist()
    assert len(indices) == len(set(indices)) == min(texts, SAMPLE)
    order = np.argsort((old * new).sum(axis=1)).tolist()
    assert set(order[: SAMPLE // 2]) <= set(indices)
    assert order[-1] in indices


def test_no_hypothesis_is_tried_twice_in_a_round(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(causes, "MAX_REMAINING", 0.0)
    world = World()
    world.causes(vectors(3, 40))
    assert len(world.tried) == len(explanations(CLS, None))
