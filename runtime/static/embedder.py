"""Turns one checked request into one vector: tokens, their rows, the mean, what follows it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from manifest import Reading, StaticModel
from runtime.batches.request import Embedded, Group
from runtime.errors import InferenceFailed, InvalidRequest
from runtime.metrics.work_figures import WorkFigures
from runtime.scheduling.job import Step
from runtime.static.limits import Limits
from runtime.static.mean import Mean
from runtime.static.request import StaticRequest
from runtime.static.table import Array, Table
from runtime.text.head import Head, normalize
from runtime.text.tokenizer import SEGMENT_CHARACTERS, Tokenizer

Vector = NDArray[np.float32] | NDArray[np.float64]

SHORT_CHARACTERS = 1024
"""A text of up to this many characters is embedded on the event loop. English takes 0.7 ms then, and the slowest text
that was found 4 ms."""

NORM_FLOOR = 1e-32
"""model2vec adds this to a norm before it divides by it."""


class StaticEmbedder:
    """A static model under the limits of a server. Thread-safe."""

    def __init__(
        self,
        model: StaticModel,
        table: Table,
        tokenizer: Tokenizer,
        head: Head,
        limits: Limits,
        figures: WorkFigures | None = None,
    ) -> None:
        """``figures``: where texts are counted."""
        self._figures = figures if figures is not None else WorkFigures()
        self._model, self._table, self._tokenizer, self._limits = model, table, tokenizer, limits
        self._normalizes = model.normalizes
        self._follow = head.apply if model.reading is Reading.SENTENCE_TRANSFORMERS else self._model2vec

    def is_short(self, request: StaticRequest) -> bool:
        """Whether ``embed`` takes no longer than the event loop may be held."""
        length = len(request.prompt) + len(request.text)
        characters = self._limits.characters
        return (length if characters is None else min(length, characters)) <= SHORT_CHARACTERS

    def estimate(self, request: StaticRequest) -> int:
        """How many steps the text takes, at least 1."""
        return 1 + len(request.text) // SEGMENT_CHARACTERS

    def embed(self, request: StaticRequest) -> Vector:
        """The vector, (dim,) or (dimensions,), for a short text. Raises as ``begin``."""
        vector, _ = self._at_once(request, self._limits.cut(request.prompt + request.text), len(request.text))
        return vector

    def begin(self, request: StaticRequest) -> Generator[Step, None, Vector]:
        """The same in steps that tokenize one segment each, for a text of any length.

        Raises ``InvalidRequest`` for a text that is too long where ``LONG_TEXT`` is error, and ``InferenceFailed``,
        also for a vector that is not finite.
        """
        vector, _ = yield from self._counted(request)
        return vector

    def begin_group(self, group: Group) -> Generator[Step, None, Embedded]:
        """The vectors of several texts, with a pause where ``begin`` has one.

        Raises as ``begin``; an ``InvalidRequest`` names the text.
        """
        vectors: list[Vector] = []
        counts: list[int] = []
        like: StaticRequest = group.like
        for index, text in enumerate(group.texts):
            try:
                whole = self._limits.cut(like.prompt + text)
                if len(whole) <= SHORT_CHARACTERS:
                    vector, count = self._at_once(like, whole, len(text))
                else:
                    vector, count = yield from self._counted(replace(like, text=text))
            except InvalidRequest as error:
                raise group.named(index, error) from None
            vectors.append(vector)
            counts.append(count)
        return Embedded(np.stack(vectors), counts)

    def _counted(self, request: StaticRequest) -> Generator[Step, None, tuple[Vector, int]]:
        """A text's vector, and how many of its tokens were seen."""
        text = self._limits.cut(request.prompt + request.text)
        if len(text) <= SHORT_CHARACTERS:
            return self._at_once(request, text, len(request.text))
        mean, seen = Mean(self._table), 0
        for ids, left in self._segments(text):
            mean.add(self._limits.take(ids, seen, mean.count, self._model.unknown_id))
            seen += len(ids)
            if left == 0 or self._limits.reached(seen, mean.count):
                break
            yield Step(None, left)
        return self._result(request, text, len(request.text), mean, seen), seen

    def _at_once(self, like: StaticRequest, whole: str, characters: int) -> tuple[Vector, int]:
        """As ``_counted``, for what is left of a text of so many ``characters`` with its prompt, if that is short."""
        ids = self._tokenizer.encode(whole)
        mean = Mean(self._table)
        mean.add(self._limits.take(ids, 0, 0, self._model.unknown_id))
        return self._result(like, whole, characters, mean, len(ids)), len(ids)

    def _segments(self, text: str) -> Iterator[tuple[list[int], int]]:
        """The ids of each segment, and how many segments probably follow, at least 1."""
        for segment in self._tokenizer.segments(text):
            end = segment.spans[-1][1] if segment.spans else 0
            yield segment.ids, 1 + max(0, len(text) - end) // SEGMENT_CHARACTERS

    def _result(self, like: StaticRequest, text: str, characters: int, mean: Mean, seen: int) -> Vector:
        """The vector of a text of so many ``characters``, of which, with the prompt, ``text`` is left. Counts it."""
        count = mean.count
        is_cut = len(text) < len(like.prompt) + characters or self._limits.is_beyond(seen, count)
        vector = self._finish(mean, seen, like.dimensions)
        self._figures.computed(count, truncated=is_cut)
        return vector

    def _finish(self, mean: Mean, seen: int, dimensions: int | None) -> Vector:
        """The vector of a text of which ``seen`` tokens were seen, and those that count are added to the ``mean``."""
        padding = self._model.padding
        if padding is not None:
            mean.add_padding(padding.token, self._limits.padding_after(padding, seen, mean.count))
        return self._vector(mean.value, dimensions)

    def _vector(self, mean: Array, dimensions: int | None) -> Vector:
        vector = self._follow(mean)
        if self._normalizes:
            # NOTE: no component of a unit vector loses more than 3e-8 by this.
            vector = vector.astype(np.float32, copy=False)
        elif vector.dtype == np.float16:
            vector = vector.astype(np.float32)
        if dimensions is not None:
            vector = vector[:dimensions]
            if self._normalizes:
                vector = normalize(vector)
        if not np.isfinite(vector).all():
            raise InferenceFailed("the model returned a vector that is not finite")
        return vector

    def _model2vec(self, mean: Array) -> Array:
        return _unit(mean) if self._normalizes else mean


def _unit(vector: Array) -> Array:
    """The vector divided by its norm, in its own type, as model2vec does it. A zero vector stays zero."""
    with np.errstate(over="ignore"):
        norm = np.sqrt(np.add.reduce(vector * vector))
    return vector / (norm + NORM_FLOOR) if norm else vector
