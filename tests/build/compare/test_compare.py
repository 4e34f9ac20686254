"""The arithmetic of a comparison: neighbours, figures, verdict and causes, held against numpy in float64."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.compare import causes as compare_causes
from build.compare import neighbours
from build.compare.causes import SAMPLE, Finding, find_causes, sample
from build.compare.figures import EDGES, NEIGHBOURS, Figures, measure, neighbours_of
from build.compare.hypotheses import TRUNCATE, Cause, Way, guesses, pooled_by
from build.compare.neighbours import shared, unit
from build.compare.texts import OwnTexts, read_texts
from build.compare.verdict import FEW_TEXTS, MIN_COSINE_P1, MIN_MIXED_OVERLAP, Verdict, judge
from build.errors import NoTexts
from manifest import Activation, Layer, LayerKind, PoolingMode, Task
from tests.support.bundles.text_models import NORMALIZE, a_text_model, an_encoder, two_routes
from tests.support.paths import ROOT

TEXTS, DIM = 60, 24


def vectors(seed: int, texts: int = TEXTS, dim: int = DIM) -> np.ndarray:
    """Random ones of unit length, no two alike."""
    return unit(np.random.default_rng(seed).normal(size=(texts, dim)).astype(np.float32))


def moved(old: np.ndarray, cosine: float, seed: int = 99) -> np.ndarray:
    """Each vector turned away, in a random direction, to about this cosine."""
    noise = vectors(seed, *old.shape) * np.float32(np.sqrt(1 / cosine**2 - 1))
    return unit(old + noise * np.linalg.norm(old, axis=1, keepdims=True))


def rotation(seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(DIM, DIM)))[0].astype(np.float32)


def names(count: int) -> tuple[str, ...]:
    return tuple(f"text {number}" for number in range(count))


def brute_force(queries: np.ndarray, stored: np.ndarray, k: int) -> list[set[int]]:
    """Each query's neighbours, one cosine after another in float64."""
    a, b = queries.astype(np.float64), stored.astype(np.float64)
    found = []
    for place, query in enumerate(a):
        values = [(-(query @ other) / np.sqrt((query @ query) * (other @ other)), n) for n, other in enumerate(b)]
        found.append({n for _, n in sorted(value for value in values if value[1] != place)[:k]})
    return found


def brute_force_overlap(left: list[set[int]], right: list[set[int]]) -> float:
    return float(np.mean([len(a & b) / len(a) for a, b in zip(left, right, strict=True)]))


class TestNeighbours:
    @pytest.mark.parametrize("block_cells", [1, 150, 1 << 22])
    @pytest.mark.parametrize("k", [1, 7, TEXTS - 1])
    def test_they_are_those_of_a_search_by_hand(self, monkeypatch: pytest.MonkeyPatch, k: int, block_cells: int):
        """In blocks of one row, of a few that do not divide the texts, and in one block."""
        monkeypatch.setattr(neighbours, "BLOCK_CELLS", block_cells)
        queries, stored = vectors(1) * 3, vectors(2) * np.arange(1, TEXTS + 1, dtype=np.float32)[:, np.newaxis]
        found = neighbours.neighbours(queries, stored, k)
        assert found.shape == (TEXTS, k)
        assert [set(row) for row in found.tolist()] == brute_force(queries, stored, k)

    def test_of_equal_ones_the_first_count(self):
        stored = np.repeat(vectors(1, texts=1), 6, axis=0)
        found = neighbours.neighbours(stored, stored, 2)
        assert [set(row) for row in found.tolist()] == [{1, 2}, {0, 2}, {0, 1}, {0, 1}, {0, 1}, {0, 1}]

    def test_a_vector_of_zeros_is_as_far_from_all(self):
        stored = vectors(1, texts=4)
        stored[2] = 0
        assert set(neighbours.neighbours(stored, stored, 2)[2].tolist()) == {0, 1}

    def test_what_is_shared_is_counted_whatever_the_order(self):
        left, right = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[3, 1, 9], [6, 5, 4]])
        assert shared(left, right) == pytest.approx(5 / 6)


class TestFigures:
    def test_they_are_those_of_float64(self):
        old = vectors(1)
        new = moved(old, 0.9) * np.float32(2)
        figures = measure(names(TEXTS), old, new)
        a, b = old.astype(np.float64), new.astype(np.float64)
        cosines = np.array([x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)])
        assert figures.cosines is not None
        assert figures.cosines.mean == pytest.approx(cosines.mean())
        assert figures.cosines.median == pytest.approx(np.median(cosines))
        assert figures.cosines.p1 == pytest.approx(np.quantile(cosines, 0.01))
        assert figures.cosines.minimum == pytest.approx(cosines.min())
        for one in figures.cosines.histogram:
            assert one.texts == ((cosines >= one.low) & (cosines < one.high)).sum()
        assert [(one.low, one.high) for one in figures.cosines.histogram] == list(pairwise(EDGES))
        worst = np.argsort(cosines)[:5]
        assert [one.text for one in figures.furthest] == [f"text {place}" for place in worst]
        assert [one.cosine for one in figures.furthest] == pytest.approx(cosines[worst].tolist())
        assert (figures.old_dim, figures.new_dim, figures.texts) == (DIM, DIM, TEXTS)
        assert (figures.old_lengths.unit, figures.new_lengths.unit) == (True, False)
        assert (figures.new_lengths.minimum, figures.new_lengths.maximum) == pytest.approx((2, 2))
        assert figures.length_ratios == pytest.approx((2, 2))
        before = brute_force(old, old, NEIGHBOURS)
        overlap = figures.overlap
        assert overlap.k == NEIGHBOURS
        assert overlap.mixed == pytest.approx(brute_force_overlap(before, brute_force(new, old, NEIGHBOURS)))
        assert overlap.own == pytest.approx(brute_force_overlap(before, brute_force(new, new, NEIGHBOURS)))
        assert 0 < overlap.mixed < 1

    def test_vectors_of_two_sizes_have_neighbours_of_their_own_only(self):
        old, new = vectors(1, dim=8), vectors(2)
        figures = measure(names(TEXTS), old, new)
        assert (figures.cosines, figures.overlap.mixed, figures.furthest) == (None, None, ())
        expected = brute_force_overlap(brute_force(old, old, NEIGHBOURS), brute_force(new, new, NEIGHBOURS))
        assert figures.overlap.own == pytest.approx(expected)

    def test_zeros_have_no_ratio_of_lengths(self):
        old = vectors(1, texts=3)
        old[0] = 0
        assert measure(names(3), old, vectors(2, texts=3)).length_ratios == pytest.approx((1, 1))
        assert measure(names(3), old * 0, old).length_ratios == (1, 1)

    @pytest.mark.parametrize(("texts", "k"), [(2, 1), (3, 1), (4, 1), (5, 2), (20, 9), (21, 10), (5000, 10)])
    def test_there_are_ten_neighbours_or_half_of_the_others(self, texts: int, k: int):
        assert neighbours_of(texts) == k

    @given(st.integers(0, 10**6), st.integers(2, 30))
    def test_the_same_vectors_are_the_same(self, seed: int, texts: int):
        same = vectors(seed, texts)
        figures = measure(names(texts), same, same)
        assert figures.cosines is not None
        assert figures.cosines.minimum == pytest.approx(1, abs=1e-12)
        assert figures.cosines.histogram[-1].texts == texts
        assert (figures.overlap.mixed, figures.overlap.own) == (1, 1)
        assert judge(figures).verdict is Verdict.DROP_IN

    @given(st.integers(0, 10**6))
    def test_a_rotation_keeps_neighbours_among_the_new_and_loses_them_among_the_old(self, seed: int):
        old = vectors(seed)
        figures = measure(names(TEXTS), old, old @ rotation(seed))
        assert figures.overlap.own > 0.99
        assert figures.overlap.mixed is not None
        assert figures.overlap.mixed < 0.6
        assert judge(figures).verdict is Verdict.REIMPORT

    @given(st.integers(0, 10**6), st.permutations(range(TEXTS)))
    def test_the_order_of_the_texts_changes_nothing(self, seed: int, order: list[int]):
        old = vectors(seed)
        new = moved(old, 0.97)
        one, other = measure(names(TEXTS), old, new), measure(names(TEXTS), old[order], new[order])
        assert one.cosines is not None
        assert other.cosines is not None
        assert other.cosines.mean == pytest.approx(one.cosines.mean)
        assert other.cosines.histogram == one.cosines.histogram
        assert (other.overlap.mixed, other.overlap.own) == pytest.approx((one.overlap.mixed, one.overlap.own))
        assert judge(one).verdict is judge(other).verdict


def figures_of(cosine: float, mixed: float) -> Figures:
    """Those of texts whose cosines and overlap are what is given."""
    figures = measure(names(TEXTS), vectors(1), vectors(1))
    assert figures.cosines is not None
    return replace(figures, cosines=replace(figures.cosines, p1=cosine), overlap=replace(figures.overlap, mixed=mixed))


class TestVerdict:
    @pytest.mark.parametrize(
        ("cosine", "mixed", "verdict", "faults"),
        [
            (MIN_COSINE_P1, MIN_MIXED_OVERLAP, Verdict.DROP_IN, 0),
            (MIN_COSINE_P1 - 1e-6, 1.0, Verdict.REIMPORT, 1),
            (1.0, MIN_MIXED_OVERLAP - 1e-6, Verdict.REIMPORT, 1),
            (0.5, 0.5, Verdict.REIMPORT, 2),
        ],
    )
    def test_it_needs_both_high_cosines_and_the_same_neighbours(
        self, cosine: float, mixed: float, verdict: Verdict, faults: int
    ):
        judgement = judge(figures_of(cosine, mixed))
        assert judgement.verdict is verdict
        assert len(judgement.reasons) == (faults or 1)
        assert judgement.notes == ()

    def test_vectors_of_two_sizes_never_fit(self):
        judgement = judge(measure(names(TEXTS), vectors(1, dim=8), vectors(1)))
        assert judgement.verdict is Verdict.REIMPORT
        assert judgement.reasons == ("old vectors have 8 components and new ones 24: no index takes both",)
        assert judgement.notes == ()

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            (1.0, 3.0, "the old vectors have unit length and the others have not"),
            (3.0, 1.0, "the new vectors have unit length and the others have not"),
            (2.0, 3.0, r"the vectors' lengths differ \(2 and 3 in the mean\)"),
        ],
    )
    def test_other_lengths_fit_for_the_distance_cosine_alone(self, old: float, new: float, said: str):
        judgement = judge(measure(names(TEXTS), vectors(1) * np.float32(old), vectors(1) * np.float32(new)))
        assert judgement.verdict is Verdict.DROP_IN
        assert re.match(f"{said}: .*cosine.*dot or l2-squared", judgement.notes[0])

    @pytest.mark.parametrize(("texts", "few"), [(2, True), (FEW_TEXTS - 1, True), (FEW_TEXTS, False)])
    def test_few_texts_are_told(self, texts: int, few: bool):
        judgement = judge(measure(names(texts), vectors(1, texts), vectors(1, texts)))
        assert judgement.verdict is Verdict.DROP_IN
        assert [f"stands on {texts} texts only" in note for note in judgement.notes] == [True] * few

    def test_the_page_names_the_limits(self):
        page = (ROOT / "docs" / "compare.md").read_text()
        assert f"at least {MIN_COSINE_P1}, and new vectors\nfind at least {MIN_MIXED_OVERLAP:.0%}" in page
        assert f"| neighbours | of the {NEIGHBOURS} nearest" in page
        assert f"where there are not {2 * NEIGHBOURS + 1} texts" in page
        assert f"Up to {SAMPLE} of the texts" in page

    def test_the_page_names_every_cause(self):
        reasons = (ROOT / "docs" / "compare.md").read_text().split("## Why")[1]
        rows = re.findall(r"^\| ([^|]+) \|", reasons, re.MULTILINE)[1:]
        assert [cause for row in rows for cause in row.split(", ")] == list(Cause)


def causes_of(way: Way, task: Task | None = None) -> list[Cause]:
    return [guess.cause for guess in guesses(way, task)]


class TestWays:
    def test_a_plain_model_is_tried_with_the_other_pooling_and_with_long_texts_cut_off(self):
        assert causes_of(Way(a_text_model())) == [Cause.CLS_POOLING, Cause.TRUNCATION]
        assert causes_of(Way(a_text_model(PoolingMode.CLS), TRUNCATE)) == [Cause.MEAN_POOLING]
        assert causes_of(Way(a_text_model(PoolingMode.LAST_TOKEN), TRUNCATE)) == [Cause.MEAN_POOLING, Cause.CLS_POOLING]

    def test_prompts_are_tried_for_the_task(self):
        prompts = {"query": "q: ", "passage": "p: ", "other": "o: "}
        model = a_text_model(prompts=prompts, tasks={"query": "query", "passage": "passage"}, default_prompt="passage")
        model = replace(model, encoders={"text": an_encoder(prompt_tokens={"query": 3})})
        tried = [guess for guess in guesses(Way(model), Task.PASSAGE) if "prompt" in guess.cause]
        assert [guess.cause for guess in tried] == [Cause.NO_PROMPT, Cause.OTHER_PROMPT]
        assert [guess.way.model.prompt(task) for guess in tried for task in (None, *Task)] == [""] * 3 + ["q: "] * 3
        assert tried[0].says == "the old one puts no prompt in front of texts, and the bundle's is 'p: '"
        assert tried[0].way.model.main_encoder.prompt_tokens == {}
        plain = guesses(Way(replace(model, tasks={"query": "query"})), Task.PASSAGE)
        assert [guess.says for guess in plain if "prompt" in guess.cause] == [
            "the old one puts the prompt 'p: ' in front of texts, and the bundle puts none there",
            "the old one puts the prompt 'q: ' in front of texts, and the bundle puts none there",
        ]

    def test_the_other_way_of_a_router_is_tried(self):
        tried = [guess for guess in guesses(Way(two_routes()), Task.PASSAGE) if guess.cause is Cause.OTHER_ROUTE]
        assert [guess.way.model.encoder_name(task) for guess in tried for task in Task] == ["query", "query"]

    def test_layers_with_tensors_are_left_out_and_others_stay(self):
        dense = Layer(LayerKind.DENSE, weight="w", activation=Activation.TANH)
        model = a_text_model(layers=(dense, NORMALIZE), dim=2)
        (guess,) = [guess for guess in guesses(Way(model), None) if guess.cause is Cause.NO_LAYERS]
        assert guess.says.endswith("(dense)")
        assert guess.way.model.dim == 4
        assert guess.way.model.main_encoder.layers == (NORMALIZE,)

    def test_joined_pooling_modes_are_not_replaced_below_layers_that_need_their_width(self):
        modes = (PoolingMode.CLS, PoolingMode.MEAN)
        dense = Layer(LayerKind.DENSE, weight="w", activation=Activation.TANH)
        assert Cause.MEAN_POOLING not in causes_of(Way(a_text_model(*modes, layers=(dense,))))
        assert Cause.MEAN_POOLING in causes_of(Way(a_text_model(*modes)))


CLS = Way(a_text_model(PoolingMode.CLS))
ENOUGH = 0.99


class World:
    """Vectors of each way: ``own`` of CLS pooling, others of mean pooling; cutting off changes those of long texts."""

    def __init__(self, texts: int = 40) -> None:
        self.own, self.mean = vectors(1, texts), vectors(2, texts)
        self.long = np.arange(texts) < texts // 4
        self.asked: list[Way] = []

    def of(self, way: Way) -> np.ndarray:
        mean = way.model.main_encoder.pooling.modes == (PoolingMode.MEAN,)
        result = (self.mean if mean else self.own).copy()
        if way.long_text == TRUNCATE:
            result[self.long] = moved(result[self.long], 0.6, seed=5)
        return result

    def ask(self, way: Way) -> np.ndarray:
        self.asked.append(way)
        return self.of(way)

    def causes(self, old: np.ndarray) -> tuple[Finding, ...]:
        return find_causes(old, self.own, CLS, None, self.ask, ENOUGH)


MEAN = replace(CLS, model=pooled_by(CLS.model, PoolingMode.MEAN))


class TestCauses:
    def test_one_thing_that_explains_all_is_found(self):
        (finding,) = World().causes(World().of(MEAN))
        assert finding.cause is Cause.MEAN_POOLING
        assert finding.says == "the old one pools by mean, and this model by cls"
        assert finding.cosine == pytest.approx(1)

    def test_two_things_are_found_one_after_the_other(self):
        first, second = World().causes(World().of(replace(MEAN, long_text=TRUNCATE)))
        assert [first.cause, second.cause] == [Cause.MEAN_POOLING, Cause.TRUNCATION]
        assert first.cosine is not None
        assert first.cosine < 0.95
        assert second.cosine == pytest.approx(1)

    def test_what_is_left_is_told_as_rounding_when_it_is_small(self):
        first, rest = World().causes(moved(World().of(MEAN), 0.95))
        assert [first.cause, rest.cause] == [Cause.MEAN_POOLING, Cause.ROUNDING]
        assert rest.says.startswith("what is left, a mean cosine of 0.95")

    def test_nothing_more_is_asked_once_the_rest_is_small_enough(self):
        world = World()
        assert [one.cause for one in world.causes(moved(world.of(MEAN), 0.998))] == [Cause.MEAN_POOLING]
        assert len(world.asked) == len(guesses(CLS, None))

    def test_the_same_direction_needs_no_question(self):
        world = World()
        assert world.causes(world.own * np.float32(3)) == ()
        assert world.asked == []

    @pytest.mark.parametrize(
        ("cosine", "cause"),
        [(0.97, Cause.ROUNDING), (0.91, Cause.ROUNDING), (0.75, Cause.UNKNOWN), (0.05, Cause.ANOTHER_MODEL)],
    )
    def test_without_an_explanation_the_size_decides(self, cosine: float, cause: Cause):
        (finding,) = World().causes(moved(World().own, cosine))
        assert (finding.cause, finding.cosine) == (cause, None)

    def test_what_all_texts_have_in_common_is_no_likeness(self):
        """Vectors of two models that both crowd in one corner."""
        corner = 5 * vectors(9, texts=1)
        world = World()
        (finding,) = find_causes(
            vectors(7, 40) + corner, world.own + corner, CLS, None, lambda way: world.of(way) + corner, ENOUGH
        )
        assert finding.cause is Cause.ANOTHER_MODEL
        assert finding.says.startswith("a mean cosine of 0.9")

    def test_long_texts_that_are_neither_cut_off_nor_averaged_are_told(self):
        world = World()
        old = world.own.copy()
        old[world.long] = moved(old[world.long], 0.5, seed=8)
        (finding,) = world.causes(old)
        assert finding.cause is Cause.LONG_TEXTS
        assert "(10 of the 40 that were tried)" in finding.says

    @pytest.mark.parametrize("width", [8, 16])
    def test_the_first_components_are_found_in_either_direction(self, width: int):
        world = World()
        (finding,) = world.causes(unit(world.own[:, :width]))
        assert finding.cause is Cause.FIRST_COMPONENTS
        assert finding.says == f"the old vectors are the first {width} components of the new ones"
        (other,) = find_causes(world.own, world.own[:, :width], CLS, None, lambda way: world.of(way)[:, :width], ENOUGH)
        assert other.says == f"the new vectors are the first {width} components of the old ones"

    def test_the_first_components_of_another_way_are_two_reasons(self):
        causes = [one.cause for one in World().causes(World().of(MEAN)[:, :8])]
        assert causes == [Cause.MEAN_POOLING, Cause.FIRST_COMPONENTS]

    def test_other_sizes_without_a_likeness_are_another_model(self):
        assert [one.cause for one in World().causes(vectors(3, 40, 8))] == [Cause.ANOTHER_MODEL]

    @pytest.mark.parametrize("texts", [2, 3])
    def test_few_texts_are_enough_for_a_reason(self, texts: int):
        world = World(texts)
        assert world.causes(world.of(MEAN))[0].cause is Cause.MEAN_POOLING

    @pytest.mark.parametrize("texts", [2, SAMPLE, SAMPLE + 1, 1000])
    def test_the_sample_has_the_worst_texts_and_some_of_all(self, texts: int):
        old = vectors(1, texts)
        new = moved(old, 0.9)
        places = sample(old, new).tolist()
        assert len(places) == len(set(places)) == min(texts, SAMPLE)
        order = np.argsort((old * new).sum(axis=1)).tolist()
        assert set(order[: SAMPLE // 2]) <= set(places)
        assert order[-1] in places

    def test_no_way_is_asked_for_twice_in_a_round(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(compare_causes, "NEARER", 0.0)
        world = World()
        world.causes(vectors(3, 40))
        assert len(world.asked) == len(guesses(CLS, None))


class TestTexts:
    def test_there_is_one_a_line_without_blank_and_repeated_ones(self, tmp_path: Path):
        file = tmp_path / "texts.txt"
        file.write_bytes("\ufeffone\r\n\r\n  two  \n \t\nthree\u2028four\x0bfive\none\n".encode())
        assert read_texts(file) == OwnTexts(("one", "  two  ", "three\u2028four\x0bfive"), repeated=1)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "has 0 different texts, and at least 2 are needed"),
            (b"one\none\n\n", "has 1 different texts, and at least 2 are needed"),
            (b"caf\xe9\ntwo", "is not UTF-8 (byte 3)"),
        ],
    )
    def test_a_file_that_will_not_do_is_refused(self, tmp_path: Path, content: bytes, said: str):
        file = tmp_path / "texts.txt"
        file.write_bytes(content)
        with pytest.raises(NoTexts, match=re.escape(said)):
            read_texts(file)

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path):
        with pytest.raises(NoTexts, match="nothing cannot be read: No such file"):
            read_texts(tmp_path / "nothing")
        with pytest.raises(NoTexts, match="cannot be read: Is a directory"):
            read_texts(tmp_path)
