"""Turns a text of any length into windows of tokens that the model takes, as ``LONG_TEXT`` says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from runtime.errors import InvalidRequest
from runtime.text.long_text import LongText
from runtime.text.tokenizer import Segment, Tokenizer
from runtime.text.window_ends import Span, window_length

CHARACTERS_PER_TOKEN = 6
"""Texts up to this many per token are first taken for short; where that is wrong, they are tokenized once more."""


@dataclass(frozen=True)
class Window:
    """``ids`` with special tokens and the prompt's; ``tokens`` of them are the text's own, the window's weight.

    In a text's only window the prompt's count too: nothing is weighed against it.
    """

    ids: list[int]
    tokens: int


@dataclass
class _Tokens:
    """The tokens at the front of a text, as many as were asked for and what came with them in the same segment."""

    segments: Iterator[Segment]
    ids: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    def read(self, count: int) -> None:
        """Have at least ``count`` tokens, or all that are left."""
        while len(self.ids) < count and (segment := next(self.segments, None)) is not None:
            self.ids += segment.ids
            self.spans += segment.spans

    def take(self, count: int) -> list[int]:
        """The ids of the first ``count`` tokens, which are gone after that."""
        ids = self.ids[:count]
        del self.ids[:count], self.spans[:count]
        return ids


class Windows:
    """Thread-safe. Every window has at most ``max_tokens`` ids; a text that fits has one, with the original's ids."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, long_text: LongText) -> None:
        self._tokenizer, self._max_tokens, self._long_text = tokenizer, max_tokens, long_text
        self._special_count = len(tokenizer.prefix) + len(tokenizer.suffix)
        # What special tokens leave to prompt and text.
        self._content_tokens = max_tokens - self._special_count

    def token_capacity(self, prompt: str) -> int:
        """Tokens that one window has for the text behind the prompt; a prompt that leaves none cannot be served."""
        return self._content_tokens - (len(self._tokenizer.encode(prompt)) - self._special_count if prompt else 0)

    def fits(self, prompt: str, text: str) -> bool:
        """Whether prompt and text have one window together."""
        return len(self._tokenizer.encode(prompt + text)) <= self._max_tokens

    def of(self, prompt: str, text: str) -> Iterator[Window]:
        """The windows of prompt and text, which are tokenized as one string, each made when it is asked for.

        ``token_capacity(prompt)`` must be at least 1. Raises, at the first window, ``InvalidRequest`` for a text that
        is too long where ``LONG_TEXT`` is error, and ``InferenceFailed``.
        """
        # PERF: most texts are short, and need no spans, which cost a third more.
        if len(prompt) + len(text) <= self._max_tokens * CHARACTERS_PER_TOKEN:
            ids = self._tokenizer.encode(prompt + text)
            if len(ids) <= self._max_tokens:
                yield Window(ids, len(ids) - self._special_count)
                return
        yield from self._of_segments(prompt, text)

    def _of_segments(self, prompt: str, text: str) -> Iterator[Window]:
        whole = prompt + text
        tokens = _Tokens(self._tokenizer.segments(whole))
        tokens.read(self._content_tokens + 1)
        if len(tokens.ids) <= self._content_tokens:
            yield self._window([], tokens.ids)
            return
        if self._long_text is LongText.ERROR:
            raise self._too_long(tokens)
        # NOTE: what the prompt's last letters are joined with can leave less room than the prompt alone.
        prompt_ids = tokens.take(min(_prompt_length(tokens.spans, prompt), self._content_tokens - 1))
        capacity = self._content_tokens - len(prompt_ids)
        if self._long_text is LongText.TRUNCATE:
            yield self._window(prompt_ids, tokens.take(capacity))
            return
        while True:
            tokens.read(capacity + 1)
            if len(tokens.ids) <= capacity:
                yield self._window(prompt_ids, tokens.ids)
                return
            yield self._window(prompt_ids, tokens.take(window_length(whole, tokens.spans, capacity)))

    def _too_long(self, tokens: _Tokens) -> InvalidRequest:
        # PERF: one more segment is looked for, so that the count is exact for all but very long texts.
        more = "more than " if next(tokens.segments, None) is not None else ""
        return InvalidRequest(
            f"text has {more}{len(tokens.ids) + self._special_count} tokens, its prompt's and special ones included, "
            f"and may have {self._max_tokens} (LONG_TEXT is {self._long_text})"
        )

    def _window(self, prompt_ids: list[int], text_ids: list[int]) -> Window:
        return Window([*self._tokenizer.prefix, *prompt_ids, *text_ids, *self._tokenizer.suffix], len(text_ids))


def _prompt_length(spans: list[Span], prompt: str) -> int:
    """How many leading tokens end within the prompt's characters."""
    length = len(prompt)
    return next((n for n, (_, end) in enumerate(spans) if not prompt or end > length), len(spans))
