"""The vectors of one request: a job for each text and each image, a few of them in flight at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runtime.clip.request import VectorizeRequest
from runtime.errors import InvalidRequest
from runtime.images.base64_text import Base64
from runtime.images.refusals import BadImage
from runtime.text.request import EmbedRequest

Vector = NDArray[np.float32]

JOBS_PER_CORE = 4
"""So many items of a request are in flight for each core: enough that no thread waits for the event loop, and few
enough that a request with thousands of texts does not stand before all others."""


class Vectors(NamedTuple):
    """One for each text and for each image, in the order sent."""

    texts: list[Vector]
    images: list[Vector]


class Vectorizer:
    """Belongs to the event loop's thread."""

    def __init__(
        self,
        embed_text: Callable[[EmbedRequest, float | None], Awaitable[Vector]],
        embed_image: Callable[[Base64, float | None], Awaitable[Vector]],
        in_flight: int,
    ) -> None:
        """Both take their item and its deadline. ``in_flight``: the most jobs of one request at a time."""
        self._embed_text, self._embed_image, self._in_flight = embed_text, embed_image, in_flight

    async def vectors(self, request: VectorizeRequest, deadline: float | None) -> Vectors:
        """Raises ``InvalidRequest`` that names the item, or another ``ServingError``: the first ends all jobs.

        Raises ``Unavailable`` if the first item was not begun before the ``deadline``; the others have none, since a
        late answer beats a refusal.
        """
        count = len(request.texts)
        results: list[Any] = [None] * (count + len(request.images))
        items = iter(range(len(results)))

        async def work(items: Iterator[int]) -> None:
            for number in items:
                limit = deadline if number == 0 else None
                results[number] = await self._vector(request, number, limit)

        tasks = [asyncio.create_task(work(items)) for _ in results[: self._in_flight]]
        try:
            await asyncio.gather(*tasks)
        finally:
            # NOTE: a task's error refers to this frame. Together they would keep the request until they are collected.
            while tasks:
                tasks.pop().cancel()
        return Vectors(results[:count], results[count:])

    async def _vector(self, request: VectorizeRequest, number: int, deadline: float | None) -> Vector:
        """The vector of an item; images are counted on after the texts."""
        if number < len(request.texts):
            try:
                return await self._embed_text(request.texts[number], deadline)
            except InvalidRequest as error:
                raise InvalidRequest(f"texts[{number}]: {error}") from None
        index = number - len(request.texts)
        try:
            return await self._embed_image(request.images[index], deadline)
        except BadImage as refusal:
            raise InvalidRequest(f"images[{index}] {refusal}") from None
