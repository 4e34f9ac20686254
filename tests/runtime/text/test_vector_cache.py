"""The cache of vectors: what is asked once, what again, and how much it counts."""

from __future__ import annotations

import asyncio
import dataclasses
import sys

import numpy as np
import pytest

from manifest import PoolingMode
from runtime.errors import InferenceFailed
from runtime.scheduling.recent_results import RecentResults
from runtime.text.request import EmbedRequest
from runtime.text.vector_cache import ENTRY_BYTES, MAX_BYTES, cached

REQUEST = EmbedRequest("a text", "text", "", (PoolingMode.MEAN,), 0, None)
DEADLINE = 60.0


class Embed:
    """Answers with a new vector each time, or with errors."""

    def __init__(self) -> None:
        self.asked: list[EmbedRequest] = []
        self.fails = False

    async def __call__(self, request: EmbedRequest, deadline: float | None) -> np.ndarray:
        self.asked.append(request)
        assert deadline == DEADLINE
        if self.fails:
            raise InferenceFailed("no memory")
        return np.full(384, len(self.asked), dtype=np.float32)[: request.dimensions]


def test_the_same_request_is_computed_once():
    embed = Embed()
    answer = cached(embed)

    async def main():
        return [await answer(REQUEST, DEADLINE), await answer(dataclasses.replace(REQUEST, is_query=True), DEADLINE)]

    first, second = asyncio.run(main())
    assert len(embed.asked) == 1
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "other",
    [{"text": "another"}, {"encoder": "query"}, {"prompt": "query: "}, {"dimensions": 2}, {"skipped_tokens": 1}],
)
@pytest.mark.parametrize("pooling", [(PoolingMode.MEAN,), (PoolingMode.CLS,)])
def test_another_request_is_computed(other: dict, pooling: tuple):
    embed = Embed()
    answer = cached(embed)

    async def main():
        return [
            await answer(REQUEST, DEADLINE),
            await answer(dataclasses.replace(REQUEST, pooling=pooling, **other), DEADLINE),
        ]

    asyncio.run(main())
    assert len(embed.asked) == 2


def test_a_failure_is_not_kept():
    embed = Embed()
    answer = cached(embed)

    async def main():
        embed.fails = True
        with pytest.raises(InferenceFailed):
            await answer(REQUEST, DEADLINE)
        embed.fails = False
        return await answer(REQUEST, DEADLINE)

    assert asyncio.run(main())[0] == 2.0


def test_an_entry_counts_its_text_and_all_numbers_that_stay_in_memory():
    recent: RecentResults = RecentResults(MAX_BYTES, 60.0)
    text = "an emoji 😀"

    async def main():
        await cached(Embed(), recent)(dataclasses.replace(REQUEST, text=text, dimensions=2), DEADLINE)

    asyncio.run(main())
    assert recent.size == sys.getsizeof(text) + 384 * 4 + ENTRY_BYTES


def test_memory_is_bounded_whatever_is_asked():
    recent: RecentResults = RecentResults(MAX_BYTES, 60.0)
    answer = cached(Embed(), recent)

    async def main():
        for number in range(60):
            await answer(dataclasses.replace(REQUEST, text=f"{number}" + "x" * 1_000_000), DEADLINE)

    asyncio.run(main())
    assert MAX_BYTES - 1_100_000 < recent.size <= MAX_BYTES


@pytest.mark.parametrize(("kept", "asked"), [(MAX_BYTES, 1), (0, 2)])
def test_a_worker_has_its_share_of_that(kept: int, asked: int):
    embed = Embed()
    answer = cached(embed, max_bytes=kept)

    async def main():
        for _ in range(2):
            await answer(REQUEST, DEADLINE)

    asyncio.run(main())
    assert len(embed.asked) == asked
