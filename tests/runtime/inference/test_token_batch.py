"""Batches of token ids: one text, several joined, shapes and types."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.inference.token_batch import TokenBatch

IDS = st.lists(st.integers(0, 300_000), min_size=1, max_size=20)


@given(IDS)
def test_a_batch_of_one_text_has_its_ids_and_their_number(ids: list[int]):
    batch = TokenBatch.of(ids)
    assert batch.ids.dtype == batch.lengths.dtype == np.int64
    assert (batch.ids.tolist(), batch.lengths.tolist()) == (ids, [len(ids)])


@given(st.lists(IDS, min_size=1, max_size=6))
def test_joined_batches_have_all_texts_in_order(texts: list[list[int]]):
    batch = TokenBatch.joined([TokenBatch.of(ids) for ids in texts])
    assert batch.ids.dtype == batch.lengths.dtype == np.int64
    parts = np.split(batch.ids, np.cumsum(batch.lengths)[:-1])
    assert [part.tolist() for part in parts] == texts


@given(st.lists(st.tuples(IDS, st.booleans()), min_size=1, max_size=6), st.data())
def test_a_batch_of_several_texts_is_that_of_joined_ones(texts: list[tuple[list[int], bool]], data: st.DataObject):
    ids = [each for each, _ in texts]
    wanted = [data.draw(st.integers(0, len(each) - 1)) if only else None for each, only in texts]
    found = TokenBatch.of_texts([np.asarray(each, np.int64).tobytes() for each in ids], wanted)
    joined = TokenBatch.joined([TokenBatch.of(each).wanting(token) for each, token in zip(ids, wanted, strict=True)])
    assert (found.rows is None, found.types) == (joined.rows is None, None)
    for name in ("ids", "lengths", "wanted_rows"):
        np.testing.assert_array_equal(getattr(found, name), getattr(joined, name))
        assert getattr(found, name).dtype == np.int64


def test_texts_without_types_have_the_type_0_beside_others():
    assert TokenBatch.of([5, 6]).token_types.tolist() == [0, 0]
    typed = TokenBatch.of([7, 8], np.array([0, 1]))
    joined = TokenBatch.joined([TokenBatch.of([5]), typed])
    assert joined.token_types.tolist() == [0, 0, 1]
    assert TokenBatch.joined([TokenBatch.of([5]), TokenBatch.of([6])]).types is None


def test_a_lone_batch_is_not_copied():
    batch = TokenBatch.of([1, 2])
    assert TokenBatch.joined([batch]) is batch


def test_pooled_vectors_are_one_for_each_text():
    one, two = (TokenBatch.of(ids).pooling([(0, len(ids))], True) for ids in ([5, 6, 7], [8, 9]))
    last = TokenBatch.of([1, 2, 3]).wanting(2).pooling([(2, 3)], False)
    joined = TokenBatch.joined([one, two, last])
    assert [batch.results for batch in (one, two, last, joined)] == [1, 1, 1, 3]
    assert joined.pooled is not None
    assert joined.pooled.tolist() == [[0, 3, 1], [0, 2, 1], [2, 3, 0]]
    assert joined.pooled.dtype == np.int64
    assert joined.wanted_rows.tolist() == [0, 1, 2, 3, 4, 7]
    texts = [np.asarray(ids, np.int64).tobytes() for ids in ([5, 6, 7], [8, 9])]
    together = TokenBatch.of_texts(texts, []).pooling([(0, 3), (0, 2)], True)
    assert together.pooled is not None
    assert together.pooled.tolist() == joined.pooled.tolist()[:2]
    assert TokenBatch.joined([TokenBatch.of([5]), TokenBatch.of([6])]).pooled is None


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=8), st.data())
def test_the_parts_of_a_batch_are_batches_of_its_texts(texts: list[tuple[int, bool]], data: st.DataObject):
    """Each text has some tokens, and its last one is wanted or all are."""
    ids = [list(range(10 * number, 10 * number + length)) for number, (length, _) in enumerate(texts)]
    wanted = [length - 1 if one else None for length, one in texts]
    ends = sorted({len(texts), *data.draw(st.sets(st.integers(1, len(texts))))})
    parts = list(zip([0, *ends], ends, strict=False))

    def of(start: int, end: int) -> TokenBatch:
        packed = [np.asarray(each, np.int64).tobytes() for each in ids[start:end]]
        means = [(0, len(each)) for each in ids[start:end]]
        return TokenBatch.of_texts(packed, wanted[start:end]).pooling(means, True)

    for found, (start, end) in zip(of(0, len(texts)).split(parts), parts, strict=True):
        expected = of(start, end)
        assert found.ids.tolist() == expected.ids.tolist()
        assert found.lengths.tolist() == expected.lengths.tolist()
        assert found.wanted_rows.tolist() == expected.wanted_rows.tolist()
        assert found.pooled is not None
        assert expected.pooled is not None
        assert found.pooled.tolist() == expected.pooled.tolist()


def test_the_parts_of_a_batch_have_its_types():
    types = np.asarray([0, 1, 1, 0, 1], np.int64)
    batch = TokenBatch(np.arange(5), np.asarray([3, 2], np.int64), types)
    assert [part.token_types.tolist() for part in batch.split([(0, 1), (1, 2)])] == [[0, 1, 1], [0, 1]]


def test_which_tokens_are_wanted():
    every, only = TokenBatch.of([5, 6, 7]), TokenBatch.of([8, 9]).wanting(1)
    assert (every.wanted, every.rows, every.wanted_rows.tolist()) == (3, None, [0, 1, 2])
    assert (only.wanted, only.wanted_rows.tolist()) == (1, [1])
    assert every.wanting(None) is every
    joined = TokenBatch.joined([only, every, only])
    assert (joined.wanted, joined.wanted_rows.tolist()) == (5, [1, 2, 3, 4, 6])
    embeddings = np.arange(14, dtype=np.float32).reshape(7, 2)
    np.testing.assert_array_equal(joined.select(embeddings), embeddings[[1, 2, 3, 4, 6]])
    assert every.select(embeddings) is embeddings
