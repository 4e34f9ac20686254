"""Turns one checked request into one vector: windows, inference, pooling, layers. Knows nothing of HTTP or queues."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifest import Encoder
from runtime.batches.each_text import PerToken
from runtime.batches.request import Embedded, Group
from runtime.batches.split import split
from runtime.errors import InferenceFailed, InvalidRequest
from runtime.inference.engine import Engine
from runtime.inference.token_batch import TokenBatch
from runtime.inference.token_run import MAX_BATCH_TOKENS, ConsecutiveRuns, TokenRun, Tokens
from runtime.metrics.work_figures import WorkFigures
from runtime.scheduling.job import Step
from runtime.text.head import Head, normalize, normalize_rows
from runtime.text.packed import ID_BYTES, pack, unpack
from runtime.text.pooling import is_mean, mean_of, means_of, only_token, pool, pool_each, reads_one_token
from runtime.text.request import EmbedRequest
from runtime.text.tokenizer import SHORT_TEXT_CHARACTERS, Tokenizer
from runtime.text.windows import Window, Windowing, Windows

MOST_CONSECUTIVE_RUNS = 4
"""So many runs of a group follow each other in one turn at most."""

Vector = NDArray[np.float32]
Steps = Generator[Step, Tokens, Vector]


class Embedder:
    """One path from a text to its vector. Thread-safe."""

    def __init__(
        self,
        encoder: Encoder,
        windows: Windows,
        engine: Engine,
        head: Head,
        figures: WorkFigures | None = None,
        end: int | None = None,
    ) -> None:
        """``figures``: where texts are counted. ``end``: after its first occurrence, nothing of a window is read."""
        self._figures = figures if figures is not None else WorkFigures()
        self._encoder, self._windows, self._engine, self._head = encoder, windows, engine, head
        self._end = end
        rest = head.after_normalizing()
        # What an engine that pools leaves to be done.
        self._normalizes, self._rest = rest is not None, rest if rest is not None else head

    def begin(self, request: EmbedRequest) -> Steps:
        """Yields one window a step, to be run, or a pause in tokenizing; the result is (dim,) or (dimensions,) float32.

        The vectors of several windows are averaged, weighted by their numbers of the text's tokens. Raises
        ``InvalidRequest``, or ``InferenceFailed``, also for a vector that is not finite.
        """
        vector, _ = yield from self._average(request)
        vector = self._cut(vector, request)
        _check_finite(vector)
        return vector

    def begin_group(self, group: Group) -> Generator[Step, Any, Embedded]:
        """The same for several texts: short ones share runs, up to the size of a batch, and a long one is a text alone.

        Raises as ``begin``; an ``InvalidRequest`` names the text.
        """
        request: EmbedRequest = group.like
        all_ids = self._windows.whole(request.prompt, group.texts)
        counts = [0 if ids is None else len(ids) // ID_BYTES for ids in all_ids]
        alone: dict[int, Vector] = {}
        for index, text in enumerate(group.texts):
            if all_ids[index] is None:
                alone[index], counts[index] = yield from self._named(group, index, text)
        # PERF: all at once, because after each run of the model, the caches have little of Python left.
        batches = self._read_together(request, [ids for ids in all_ids if ids is not None])
        found: list[Vector] = []
        while batches:
            results = yield from self._results(batches[:MOST_CONSECUTIVE_RUNS], len(batches))
            done, batches = batches[: len(results)], batches[len(results) :]
            found.append(self._pooled_apart(results, done, request))
            self._figures.computed(sum(len(batch.ids) for batch in done), texts=len(found[-1]))
        vectors = _in_order(found, alone)
        _check_finite(vectors)
        return Embedded(vectors, counts)

    def begin_tokens(self, group: Group) -> Generator[Step, Tokens, PerToken]:
        """The embedding of each token of the group's only text, before pooling: (tokens, width) float32.

        Prompt and special tokens are among them. A text of more than a window is cut to the first one, or refused.
        Raises as ``begin_group``.
        """
        request = replace(group.like, text=group.texts[0])
        try:
            window = yield from _next_window(
                self._windows.cutting().of(request.prompt, request.text, request.refuses_long), 1
            )
        except InvalidRequest as error:
            raise group.named(0, error) from None
        ids = window.ids
        if not ids:
            return PerToken(0, np.empty((0, self._encoder.width), np.float32))
        tokens = yield Step(TokenRun(self._engine, TokenBatch.of(ids), self._encoder.memory.of(len(ids))), 1)
        _check_finite(tokens)
        self._figures.computed(len(ids), truncated=window.is_truncated)
        return PerToken(len(ids), tokens)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the texts."""
        return self._windows.tokenizer

    def fits(self, request: EmbedRequest) -> bool:
        """Whether the text with its prompt fits into one window."""
        return self._windows.fits(request.prompt, request.text)

    def is_short(self, request: EmbedRequest) -> bool:
        """Whether the text with its prompt takes next to nothing before its run."""
        return len(request.prompt) + len(request.text) <= SHORT_TEXT_CHARACTERS

    def estimate(self, request: EmbedRequest) -> int:
        """Return how many windows the text probably has, by its length alone; at least 1."""
        return self._windows.estimate(request.prompt, request.text)

    def _results(self, batches: list[TokenBatch], left: int) -> Generator[Step, Any, list[Tokens]]:
        """What the first batches want: all, or as many as were run in one turn. The run of a single one is shared."""
        memory = self._encoder.memory.of(max(len(batch.ids) for batch in batches))
        if len(batches) == 1:
            return [(yield Step(TokenRun(self._engine, batches[0], memory), left))]
        # Of width float32 numbers each.
        kept = sum(batch.results for batch in batches[:-1]) * self._encoder.width * np.dtype(np.float32).itemsize
        results: list[Tokens] = yield Step(ConsecutiveRuns(self._engine, batches, memory + kept), left)
        return results

    def _named(self, group: Group, index: int, text: str) -> Generator[Step, Tokens, tuple[Vector, int]]:
        """A text of the group alone."""
        request = replace(group.like, text=text)
        try:
            vector, tokens = yield from self._average(request)
        except InvalidRequest as error:
            raise group.named(index, error) from None
        return self._cut(vector, request), tokens

    def _cut(self, vector: Vector, request: EmbedRequest) -> Vector:
        """The first components, as many as are asked for."""
        if request.dimensions is None:
            return vector
        vector = vector[: request.dimensions]
        return normalize(vector) if self._encoder.normalizes else vector

    def _average(self, request: EmbedRequest) -> Generator[Step, Tokens, tuple[Vector, int]]:
        """The vector of the only window, or the average of all, weighted and normalized; and how many tokens it took.

        The tokens of prompt and special tokens count once for each window.
        """
        windows = self._windows.of(request.prompt, request.text, request.refuses_long)
        window = yield from _next_window(windows, self.estimate(request))
        vector = yield from self._vector(window, request)
        count, made = len(window.ids), 1
        if not window.following:
            self._figures.computed(count, truncated=window.is_truncated)
            return vector, count
        total, weight = vector.astype(np.float64) * window.tokens, window.tokens
        while window.following:
            window = yield from _next_window(windows, window.following)
            total += (yield from self._vector(window, request)).astype(np.float64) * window.tokens
            weight += window.tokens
            count, made = count + len(window.ids), made + 1
        self._figures.computed(count, made)
        vector = (total / weight).astype(np.float32)
        return (normalize(vector) if self._encoder.normalizes else vector), count

    def _vector(self, window: Window, request: EmbedRequest) -> Steps:
        if not window.ids:
            # NOTE: without special tokens an empty text has none; sentence-transformers' masked mean is zero then.
            return self._head.apply(np.zeros(self._encoder.width * len(request.pooling), dtype=np.float32))
        memory = self._encoder.memory.of(len(window.ids))
        batch = self._read_by(request, window.ids)
        tokens = yield Step(TokenRun(self._engine, batch, memory), window.following + 1)
        return self._pooled(tokens, batch, request)

    def _pooled(self, results: Tokens, batch: TokenBatch, request: EmbedRequest) -> Vector:
        """The vector of one text, from what its batch wants."""
        if batch.pooled is not None:
            return self._rest.apply(results[0])
        skip = request.skipped_tokens if batch.rows is None else 0
        return self._head.apply(pool(results, request.pooling, skip))

    def _pooled_apart(self, results: list[Tokens], batches: list[TokenBatch], request: EmbedRequest) -> Vector:
        """The vectors of the texts of several batches, (texts, dim), with the bits that each has alone."""
        if batches[0].pooled is not None:
            vectors = self._rest.apply_all(np.concatenate(results))
        else:
            pooled = [_pool_apart(tokens, batch, request) for tokens, batch in zip(results, batches, strict=True)]
            vectors = self._head.apply_all(np.concatenate(pooled))
        if request.dimensions is None:
            return vectors
        vectors = vectors[:, : request.dimensions]
        return normalize_rows(vectors) if self._encoder.normalizes else vectors

    def _to_end(self, ids: list[int]) -> list[int]:
        """The ids up to the first end, with it."""
        return ids[: ids.index(self._end) + 1] if self._end is not None and self._end in ids else ids

    def _read_together(self, request: EmbedRequest, texts: list[bytes]) -> list[TokenBatch]:
        """The batches of several texts. Of each text, all tokens are wanted, or the only one that pooling reads."""
        if not texts:
            return []
        if self._end is not None:
            texts = [pack(self._to_end(unpack(ids))) for ids in texts]
        pooling, skip, lengths = request.pooling, request.skipped_tokens, [len(ids) // ID_BYTES for ids in texts]
        wanted: list[int | None] = []
        if reads_one_token(pooling):
            wanted = [only_token(pooling, skip, length) for length in lengths]
        batch = TokenBatch.of_texts(texts, wanted)
        if self._engine.pools and is_mean(pooling):
            batch = batch.pooling(means_of(pooling, skip, lengths), self._normalizes)
        most_texts = len(texts) if self._engine.supports_batching else 1
        return batch.split(split(lengths, most_texts, MAX_BATCH_TOKENS))

    def _read_by(self, request: EmbedRequest, ids: list[int]) -> TokenBatch:
        """The batch of one text, of which the tokens are wanted that the request's pooling reads."""
        ids = self._to_end(ids)
        pooling, skip, length = request.pooling, request.skipped_tokens, len(ids)
        batch = TokenBatch.of(ids).wanting(only_token(pooling, skip, length))
        if self._engine.pools and is_mean(pooling):
            batch = batch.pooling([mean_of(pooling, skip, length)], self._normalizes)
        return batch


def _pool_apart(tokens: Tokens, batch: TokenBatch, request: EmbedRequest) -> Vector:
    """The pooled tokens of several texts, (texts, width), from the embeddings that are wanted of each."""
    lengths: list[int] = batch.lengths.tolist()
    pooling, skipped = request.pooling, request.skipped_tokens
    if batch.rows is None:
        return pool_each(tokens, lengths, pooling, skipped)
    each, start = [], 0
    for length in lengths:
        wants_all = only_token(pooling, skipped, length) is None
        end, skip = (start + length, skipped) if wants_all else (start + 1, 0)
        each.append(pool(tokens[start:end], pooling, skip))
        start = end
    return np.stack(each)


def _in_order(found: list[Vector], alone: dict[int, Vector]) -> Vector:
    """The vectors of a group, (texts, dim): those of its runs in a row, and in between those of its texts ``alone``."""
    if not alone:
        return np.concatenate(found)
    rest = iter([vector for vectors in found for vector in vectors])
    count = len(alone) + sum(map(len, found))
    return np.stack([alone[index] if index in alone else next(rest) for index in range(count)])


def _check_finite(vectors: Vector) -> None:
    if not np.isfinite(vectors).all():
        raise InferenceFailed("the model returned a vector that is not finite")


def _next_window(windows: Windowing, left: int) -> Generator[Step, Tokens, Window]:
    """Yields a step for each pause before the next window, with the estimated number of windows that are left."""
    while (window := next(windows)) is None:
        yield Step(None, left)
    return window
