"""Splits a text of any length into windows of tokens that the model accepts, as ``LONG_TEXT`` says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from runtime.errors import InvalidRequest
from runtime.text.long_text import LongText
from runtime.text.packed import ID_BYTES
from runtime.text.tokenizer import Segment, Tokenizer
from runtime.text.window_ends import Span, window_length

CHARACTERS_PER_TOKEN = 6
"""A text of up to this many characters per token of a window is assumed to fit, and tokenized again if it does not."""

USUAL_CHARACTERS_PER_TOKEN = 4
"""Of English prose, by which the windows of a text are estimated before it is tokenized."""


@dataclass(frozen=True)
class Window:
    """Token ids that the model accepts in one run."""

    ids: list[int]
    """All ids, with special tokens and the prompt."""
    tokens: int
    """How many of them are the text's own: the window's weight in the average.

    In a text's only window the prompt's tokens count as well, since there is nothing to weigh them against.
    """
    following: int = field(default=0, compare=False)
    """How many windows follow this one; an estimate, but 0 only for the last one."""
    is_truncated: bool = field(default=False, compare=False)
    """Whether the rest of the text is ignored."""


Windowing = Iterator[Window | None]
"""Windows as they are made. None stands for a pause: a segment was tokenized, and the window needs another."""


@dataclass
class _Tokens:
    """The next tokens of a text: at least as many as were read, and the rest of their last segment."""

    segments: Iterator[Segment]
    ids: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    def read(self, count: int) -> Iterator[None]:
        """Read segments until there are ``count`` tokens or no more segments. Yields where another one is needed."""
        while len(self.ids) < count and (segment := next(self.segments, None)) is not None:
            self.ids += segment.ids
            self.spans += segment.spans
            if len(self.ids) < count:
                yield None

    def take(self, count: int) -> list[int]:
        """Remove the first ``count`` tokens and return their ids."""
        ids = self.ids[:count]
        del self.ids[:count], self.spans[:count]
        return ids


class Windows:
    """Splits texts into windows of at most ``max_tokens`` ids. Thread-safe.

    A text that fits has one window, with the original's ids.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, long_text: LongText) -> None:
        self._tokenizer, self._max_tokens, self._long_text = tokenizer, max_tokens, long_text
        self._special_count = len(tokenizer.prefix) + len(tokenizer.suffix)
        # What special tokens leave for prompt and text.
        self._content_tokens = max_tokens - self._special_count

    def cutting(self) -> Windows:
        """Return the same, for texts of which only the first window counts, unless ``LONG_TEXT`` is error."""
        if self._long_text is LongText.ERROR:
            return self
        return Windows(self._tokenizer, self._max_tokens, LongText.TRUNCATE)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the texts."""
        return self._tokenizer

    def token_capacity(self, prompt: str) -> int:
        """Return how many tokens of a window the prompt leaves for the text. One that leaves none cannot be served."""
        return self._content_tokens - (len(self._tokenizer.encode(prompt)) - self._special_count if prompt else 0)

    def fits(self, prompt: str, text: str) -> bool:
        """Whether prompt and text fit into one window."""
        return len(self._tokenizer.encode(prompt + text)) <= self._max_tokens

    def estimate(self, prompt: str, text: str) -> int:
        """Return how many windows the text probably has, by its length alone; at least 1."""
        characters = self._content_tokens * USUAL_CHARACTERS_PER_TOKEN
        count = max(1, math.ceil((len(prompt) + len(text)) / max(1, characters)))
        # A text that is cut off has one window, but may take longer to tokenize than short ones.
        return count if self._long_text is LongText.CHUNK else min(count, 2)

    def whole(self, prompt: str, texts: Sequence[str]) -> list[bytes | None]:
        """Return all ids of each text with the prompt, packed, if they fit into one window; None if that is not known.

        PERF: the texts are tokenized in one call.
        """
        most = self._max_tokens * CHARACTERS_PER_TOKEN - len(prompt)
        short = iter(self._tokenizer.encode_all([prompt + text for text in texts if len(text) <= most]))
        all_ids = [next(short) if len(text) <= most else None for text in texts]
        most = self._max_tokens * ID_BYTES
        return [ids if ids and len(ids) <= most else None for ids in all_ids]

    def of(self, prompt: str, text: str, refuses_long: bool = False) -> Windowing:
        """Yield the windows of prompt and text, each made when it is asked for. The two are tokenized as one string.

        At most one segment is tokenized before each window or pause.

        ``token_capacity(prompt)`` must be at least 1. Raises, at the first window, ``InvalidRequest`` for a text that
        is too long where ``LONG_TEXT`` is error or the request ``refuses_long``, and ``InferenceFailed``.
        """
        # PERF: most texts are short and need no spans, which would take a third more time.
        if len(prompt) + len(text) <= self._max_tokens * CHARACTERS_PER_TOKEN:
            ids = self._tokenizer.encode(prompt + text)
            if len(ids) <= self._max_tokens:
                yield Window(ids, len(ids) - self._special_count)
                return
        yield from self._of_segments(prompt, text, refuses_long)

    def _of_segments(self, prompt: str, text: str, refuses_long: bool) -> Windowing:
        whole = prompt + text
        tokens = _Tokens(self._tokenizer.segments(whole))
        yield from tokens.read(self._content_tokens + 1)
        if len(tokens.ids) <= self._content_tokens:
            yield self._window([], tokens.ids)
            return
        if refuses_long or self._long_text is LongText.ERROR:
            raise self._too_long(tokens)
        # NOTE: joined with the text, the prompt can have more tokens than it has alone.
        prompt_ids = tokens.take(min(_prompt_length(tokens.spans, prompt), self._content_tokens - 1))
        capacity = self._content_tokens - len(prompt_ids)
        if self._long_text is LongText.TRUNCATE:
            yield replace(self._window(prompt_ids, tokens.take(capacity)), is_truncated=True)
            return
        for made in itertools.count(1):
            yield from tokens.read(capacity + 1)
            if len(tokens.ids) <= capacity:
                yield self._window(prompt_ids, tokens.ids)
                return
            ids = tokens.take(window_length(whole, tokens.spans, capacity))
            following = _following(made, tokens.spans[0][0] - len(prompt), len(text))
            yield self._window(prompt_ids, ids, following)

    def _too_long(self, tokens: _Tokens) -> InvalidRequest:
        # PERF: only one more segment is read, so that the count is exact except for very long texts.
        why = "LONG_TEXT is error" if self._long_text is LongText.ERROR else "the request forbids truncation"
        more = "more than " if next(tokens.segments, None) is not None else ""
        return InvalidRequest(
            f"text must have at most {self._max_tokens} tokens, including its prompt and special tokens, "
            f"but has {more}{len(tokens.ids) + self._special_count} ({why})"
        )

    def _window(self, prompt_ids: list[int], text_ids: list[int], following: int = 0) -> Window:
        ids = [*self._tokenizer.prefix, *prompt_ids, *text_ids, *self._tokenizer.suffix]
        return Window(ids, len(text_ids), following)


def _following(made: int, characters: int, of: int) -> int:
    """How many windows follow, where those that were ``made`` took so many characters ``of`` the text's; at least 1."""
    return max(1, math.ceil(made * (of - characters) / max(1, characters)))


def _prompt_length(spans: list[Span], prompt: str) -> int:
    """Return how many leading tokens end within the prompt's characters."""
    length = len(prompt)
    return next((n for n, (_, end) in enumerate(spans) if not prompt or end > length), len(spans))
