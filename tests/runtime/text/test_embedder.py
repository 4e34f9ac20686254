"""From a request to a vector, on an engine whose token embeddings are plain: windows, averages, truncation, errors."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers, processors

from manifest import Layer, LayerKind, PoolingMode
from runtime.batches.request import Group
from runtime.errors import InferenceFailed, InvalidRequest
from runtime.inference.token_batch import TokenBatch
from runtime.text.embedder import Embedder
from runtime.text.head import Head, normalize
from runtime.text.long_text import LongText
from runtime.text.pooling import pool
from runtime.text.request import EmbedRequest
from runtime.text.tokenizer import Tokenizer
from runtime.text.windows import Windows
from tests.support.bundles.text_models import NORMALIZE, an_encoder

WORDS = ["[CLS]", "[SEP]", "q", *"abcdefghij"]
CLS, SEP, Q = 0, 1, 2
A, B, C, D, E, F, G = range(3, 10)
MEAN = (PoolingMode.MEAN,)


class PlainEngine:
    """A token's embedding is (id, 1, id squared). Keeps the ids and cores of each run."""

    supports_batching = True

    def __init__(self, pools: bool = False) -> None:
        self.pools = pools
        self.runs: list[tuple[list[int], int]] = []
        self.spoil = 0.0

    def run(self, batch: TokenBatch, cores: int) -> np.ndarray:
        self.runs.append((batch.ids.tolist(), cores))
        ids = batch.ids.astype(np.float32)
        embeddings = np.stack([ids, np.ones_like(ids), ids**2], axis=1) + np.float32(self.spoil)
        if batch.pooled is None:
            return batch.select(embeddings)
        assert self.pools
        texts = zip(np.split(embeddings, np.cumsum(batch.lengths)[:-1]), batch.pooled.tolist(), strict=True)
        return np.stack([mean(tokens[begin:end], normalizes == 1) for tokens, (begin, end, normalizes) in texts])


def mean(tokens: np.ndarray, normalizes: bool) -> np.ndarray:
    pooled = pool(tokens, MEAN, 0) if len(tokens) else np.zeros(tokens.shape[1], np.float32)
    return normalize(pooled) if normalizes else pooled


@pytest.fixture
def tokenizer(tmp_path: Path, request: pytest.FixtureRequest) -> Tokenizer:
    fast = FastTokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="a"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if getattr(request, "param", True):
        fast.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
        )
    fast.save(str(tmp_path / "tokenizer.json"))
    return Tokenizer(tmp_path / "tokenizer.json")


@pytest.fixture(params=[False, True], ids=["tokens", "pooled"])
def engine(request: pytest.FixtureRequest) -> PlainEngine:
    return PlainEngine(request.param)


def embedder(
    tokenizer: Tokenizer, engine: PlainEngine, *layers: Layer, max_tokens: int = 6, long_text: LongText = LongText.CHUNK
) -> Embedder:
    encoder = an_encoder(layers=layers, width=3)
    windows = Windows(tokenizer, max_tokens, long_text)
    return Embedder(encoder, windows, engine, Head(layers, {}))


def a_request(
    text: str,
    prompt: str = "",
    skipped_tokens: int = 0,
    dimensions: int | None = None,
    pooling: tuple[PoolingMode, ...] = MEAN,
) -> EmbedRequest:
    return EmbedRequest(text, "text", prompt, pooling, skipped_tokens, dimensions)


@pytest.mark.parametrize(
    ("text", "read"),
    [("a b", [CLS, A, B, SEP]), ("a q b q", [CLS, A, Q]), ("q", [CLS, Q]), ("a b c d q", [CLS, A, B, C, D, SEP])],
)
def test_nothing_is_read_after_the_first_end(tokenizer: Tokenizer, engine: PlainEngine, text: str, read: list[int]):
    windows = Windows(tokenizer, 6, LongText.TRUNCATE)
    ending = Embedder(an_encoder(layers=(), width=3), windows, engine, Head((), {}), end=Q)
    assert next(ending.begin(a_request(text))).run.batch.ids.tolist() == read


def test_texts_of_a_group_are_read_to_their_first_end(tokenizer: Tokenizer, engine: PlainEngine):
    windows = Windows(tokenizer, 6, LongText.TRUNCATE)
    ending = Embedder(an_encoder(layers=(), width=3), windows, engine, Head((), {}), end=Q)
    batch = next(ending.begin_group(Group(["a q b", "c"], ["texts[0]", "texts[1]"], a_request("")))).run.batch
    assert batch.ids.tolist() == [CLS, A, Q, CLS, C, SEP]


@pytest.mark.parametrize(
    ("pooling", "skipped", "wanted"),
    [
        ((PoolingMode.CLS,), 0, [CLS]),
        ((PoolingMode.CLS,), 1, [Q]),
        ((PoolingMode.LAST_TOKEN,), 1, [SEP]),
        (MEAN, 1, [CLS, Q, SEP]),
        ((PoolingMode.CLS, PoolingMode.MAX), 0, [CLS, Q, SEP]),
    ],
)
def test_only_tokens_that_pooling_reads_are_wanted(
    tokenizer: Tokenizer, engine: PlainEngine, pooling: tuple[PoolingMode, ...], skipped: int, wanted: list[int]
):
    steps = embedder(tokenizer, engine).begin(a_request("q", skipped_tokens=skipped, pooling=pooling))
    batch = next(steps).run.batch
    assert batch.ids[batch.wanted_rows].tolist() == wanted
    with pytest.raises(StopIteration) as end:
        steps.send(engine.run(batch, 1))
    every = rows([CLS, Q, SEP])
    np.testing.assert_array_equal(end.value.value, pool(every.astype(np.float32), pooling, skipped))


@pytest.mark.parametrize(
    ("pooling", "skipped", "wanted"),
    [
        ((PoolingMode.CLS,), 0, [CLS, CLS]),
        ((PoolingMode.CLS,), 1, [Q, A]),
        ((PoolingMode.LAST_TOKEN,), 0, [SEP, SEP]),
        (MEAN, 1, [CLS, Q, SEP, CLS, A, B, SEP]),
    ],
)
def test_texts_that_share_a_run_get_the_vectors_that_they_get_alone(
    tokenizer: Tokenizer, engine: PlainEngine, pooling: tuple[PoolingMode, ...], skipped: int, wanted: list[int]
):
    like = a_request("", skipped_tokens=skipped, pooling=pooling)
    steps = embedder(tokenizer, engine).begin_group(Group(["q", "a b"], ["texts[0]", "texts[1]"], like))
    batch = next(steps).run.batch
    assert batch.ids[batch.wanted_rows].tolist() == wanted
    with pytest.raises(StopIteration) as end:
        steps.send(engine.run(batch, 1))
    alone = [embed(embedder(tokenizer, engine), replace(like, text=text), 1) for text in ("q", "a b")]
    np.testing.assert_array_equal(end.value.value.vectors, alone)
    assert list(end.value.value.tokens) == [3, 4]


@pytest.mark.parametrize("texts", [["a b c d e f g"], ["a b c d e f g", "g f e d c b a"], ["a", "a b c d e f g"]])
def test_only_short_texts_of_a_group_share_a_run(tokenizer: Tokenizer, engine: PlainEngine, texts: list[str]):
    like = a_request("")
    group = Group(texts, [f"texts[{index}]" for index in range(len(texts))], like)
    embedded = finish(embedder(tokenizer, engine).begin_group(group), 1)
    assert len(engine.runs) == sum(1 if text == "a" else 2 for text in texts)
    alone = [embed(embedder(tokenizer, engine), replace(like, text=text), 1) for text in texts]
    np.testing.assert_array_equal(embedded.vectors, alone)


def test_a_run_of_a_list_takes_the_memory_of_its_tokens(tokenizer: Tokenizer, engine: PlainEngine):
    """Eleven texts of 50 tokens, two of which share a run: at most four runs follow each other, and all but the last of
    these leave their results."""
    texts = [" ".join(letter * 48) for letter in "abcdefghija"]
    made = embedder(tokenizer, engine, max_tokens=64)
    steps = made.begin_group(Group(texts, [f"texts[{index}]" for index in range(len(texts))], a_request("")))
    first = next(steps)
    second = steps.send([engine.run(batch, 1) for batch in first.run.batches])
    last = steps.send([engine.run(second.run.batches[0], 1)])
    memory, result = an_encoder().memory, engine.run(first.run.batches[0], 1).nbytes
    assert [(step.left, step.run.tokens, step.run.memory) for step in (first, second, last)] == [
        (6, 100, memory.of(100) + 3 * result),
        (2, 100, memory.of(100) + result),
        (1, 50, memory.of(50)),
    ]
    assert [len(step.run.batches) for step in (first, second)] == [4, 2]
    with pytest.raises(StopIteration) as end:
        steps.send(engine.run(last.run.batch, 1))
    alone = [embed(made, replace(a_request(""), text=text), 1) for text in texts]
    np.testing.assert_array_equal(end.value.value.vectors, alone)


def embed(embedder: Embedder, request: EmbedRequest, cores: int) -> np.ndarray:
    """All steps of a request, one after another."""
    return finish(embedder.begin(request), cores)


def finish(steps: Generator[Any, Any, Any], cores: int) -> Any:
    """The result of all steps, one after another."""
    try:
        step = next(steps)
        while True:
            step = steps.send(step.run and step.run.engine.run(step.run.batch, cores))
    except StopIteration as end:
        return end.value


def rows(ids: list[int]) -> np.ndarray:
    exact = np.asarray(ids, dtype=np.float64)
    return np.stack([exact, np.ones_like(exact), exact**2], axis=1)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def test_a_text_that_fits_is_run_once(tokenizer, engine):
    vector = embed(embedder(tokenizer, engine), a_request("a b"), 2)
    assert engine.runs == [([CLS, A, B, SEP], 2)]
    np.testing.assert_allclose(vector, rows([CLS, A, B, SEP]).mean(axis=0))


def test_windows_are_averaged_by_their_numbers_of_the_texts_tokens(tokenizer, engine):
    vector = embed(embedder(tokenizer, engine), a_request("a b c d e f g"), 1)
    windows = [[CLS, A, B, C, D, SEP], [CLS, E, F, G, SEP]]
    assert [ids for ids, _ in engine.runs] == windows
    expected = sum(rows(ids).mean(axis=0) * (len(ids) - 2) for ids in windows) / 7
    np.testing.assert_allclose(vector, expected, rtol=1e-6)


def test_each_window_is_normalized_and_their_average_again(tokenizer, engine):
    vector = embed(embedder(tokenizer, engine, NORMALIZE), a_request("a b c d e f g"), 1)
    one, two = unit(rows([CLS, A, B, C, D, SEP]).mean(axis=0)), unit(rows([CLS, E, F, G, SEP]).mean(axis=0))
    np.testing.assert_allclose(vector, unit(one * 4 + two * 3), rtol=1e-6)


def test_the_prompt_is_in_each_window_and_pooling_can_leave_it_out(tokenizer, engine):
    vector = embed(embedder(tokenizer, engine), a_request("a b c d", "q ", skipped_tokens=2), 1)
    assert [ids for ids, _ in engine.runs] == [[CLS, Q, A, B, C, SEP], [CLS, Q, D, SEP]]
    expected = (rows([A, B, C, SEP]).mean(axis=0) * 3 + rows([D, SEP]).mean(axis=0)) / 4
    np.testing.assert_allclose(vector, expected, rtol=1e-6)


@pytest.mark.parametrize("text", ["a b", "a b c d e f g"])
@pytest.mark.parametrize("layers", [(), (NORMALIZE,)])
def test_fewer_dimensions_are_the_first_of_all_and_normalized_again_where_the_model_normalizes(
    tokenizer, engine, text: str, layers: tuple
):
    whole = embed(embedder(tokenizer, engine, *layers), a_request(text), 1)
    cut = embed(embedder(tokenizer, engine, *layers), a_request(text, dimensions=2), 1)
    np.testing.assert_allclose(cut, unit(whole[:2]) if layers else whole[:2], rtol=1e-6)


def test_a_model_that_cuts_after_normalizing_is_left_as_it_is(tokenizer, engine):
    layers = (NORMALIZE, Layer(LayerKind.TRUNCATE, size=2))
    vector = embed(embedder(tokenizer, engine, *layers), a_request("a b"), 1)
    np.testing.assert_allclose(vector, unit(rows([CLS, A, B, SEP]).mean(axis=0))[:2], rtol=1e-6)


def test_each_window_is_a_run_that_states_its_memory(tokenizer, engine):
    steps = embedder(tokenizer, engine).begin(a_request("a b c d e f g"))
    first, left = next(steps)
    second, last = steps.send(engine.run(first.batch, 1))
    assert (left, last) == (2, 1)
    assert [run.batch.ids.tolist() for run in (first, second)] == [[CLS, A, B, C, D, SEP], [CLS, E, F, G, SEP]]
    assert [run.memory for run in (first, second)] == [an_encoder().memory.of(tokens) for tokens in (6, 5)]
    assert first.engine is second.engine is engine
    with pytest.raises(StopIteration) as end:
        steps.send(engine.run(second.batch, 1))
    np.testing.assert_array_equal(end.value.value, embed(embedder(tokenizer, engine), a_request("a b c d e f g"), 1))


def test_an_error_of_a_run_ends_the_text(tokenizer, engine):
    steps = embedder(tokenizer, engine).begin(a_request("a b c d e f g"))
    steps.send(engine.run(next(steps).run.batch, 1))
    with pytest.raises(InferenceFailed, match="no memory"):
        steps.throw(InferenceFailed("no memory"))


def test_truncation_runs_the_first_window_alone(tokenizer, engine):
    embed(embedder(tokenizer, engine, long_text=LongText.TRUNCATE), a_request("a b c d e f g"), 1)
    assert [ids for ids, _ in engine.runs] == [[CLS, A, B, C, D, SEP]]


def test_a_long_text_can_be_an_error(tokenizer, engine):
    strict = embedder(tokenizer, engine, long_text=LongText.ERROR)
    with pytest.raises(InvalidRequest, match="text must have at most 6 tokens, .* but has 9"):
        embed(strict, a_request("a b c d e f g"), 1)
    assert len(embed(strict, a_request("a b c d"), 1)) == 3


@pytest.mark.parametrize("tokenizer", [False], indirect=True)
def test_a_text_without_any_token_is_the_zero_vector(tokenizer, engine):
    np.testing.assert_array_equal(embed(embedder(tokenizer, engine, NORMALIZE), a_request(""), 1), [0, 0, 0])
    assert engine.runs == []


@pytest.mark.parametrize("spoil", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_an_error(tokenizer, engine, spoil: float):
    engine.spoil = spoil
    with pytest.raises(InferenceFailed, match="not finite"):
        embed(embedder(tokenizer, engine), a_request("a"), 1)


def test_a_vector_whose_square_is_beyond_the_largest_number_is_finite_all_the_same(tokenizer, engine):
    engine.spoil = 1e30
    assert np.isfinite(embed(embedder(tokenizer, engine), a_request("a"), 1)).all()


def test_whether_a_text_fits_is_known(tokenizer, engine):
    small = embedder(tokenizer, engine)
    assert small.fits(a_request("a b c", "q "))
    assert not small.fits(a_request("a b c d", "q "))


def test_pauses_in_tokenizing_are_steps_without_a_run(tmp_path: Path, tokenizer, engine):
    small = Tokenizer(tmp_path / "tokenizer.json", segment_characters=4)
    text = "a b c d e f g"
    paused = embedder(small, engine)
    steps = paused.begin(a_request(text))
    step, pauses = next(steps), 0
    while step.run is None:
        assert step.left == paused.estimate(a_request(text))
        pauses += 1
        step = next(steps)
    assert pauses > 0
    expected = embed(embedder(tokenizer, engine), a_request(text), 1)
    np.testing.assert_array_equal(embed(paused, a_request(text), 1), expected)


def test_a_text_is_short_up_to_512_characters_with_its_prompt(tokenizer, engine):
    lengths = [(0, 512), (0, 513), (500, 12), (500, 13)]
    requests = [a_request("x" * text, "p" * prompt) for prompt, text in lengths]
    assert list(map(embedder(tokenizer, engine).is_short, requests)) == [True, False, True, False]


def test_the_windows_of_a_text_are_estimated_with_its_prompt(tokenizer, engine):
    small = embedder(tokenizer, engine, max_tokens=6)
    assert [small.estimate(a_request("x" * count, "p" * 6)) for count in (0, 10, 11, 27)] == [1, 1, 2, 3]
