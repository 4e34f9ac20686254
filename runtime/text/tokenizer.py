"""Owns the tokenizer: a text to the original's token ids, at once or, where it is long, segment by segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

from manifest import BundleError
from runtime.errors import InferenceFailed
from runtime.text.split_points import split_points

SEGMENT_CHARACTERS = 16_384
"""Bounds what tokenizing takes at a time: some 5 ms, beside 0.1 ms for finding the segment's end."""

MAX_SEGMENT_CHARACTERS = 1 << 17
"""Characters. A stretch as long as this with no place to cut, such as one word without end, is cut all the same, which
may change a token there: else a few such texts at once would take all memory."""

CONTEXT_SIZES = (64, 59)
"""Characters on each side of a cut between segments that show whether it changes a token. Two numbers without a common
factor, because the tokens of a run such as «-----» depend on where it begins."""

SHORT_TEXT_CHARACTERS = 512
"""Characters. So short a text is tokenized, in some 0.1 ms, without letting other threads of Python run: to get
the interpreter back afterwards takes longer than that under load."""

SAMPLE_TEXTS = ("", "a", "Two words, 12 signs.")
"""Texts that show which special tokens surround every text."""


@dataclass(frozen=True)
class Segment:
    """Ids of a stretch of a text, without special tokens, and the characters of the whole text that each stands for.

    A span is (start, end). Whether it holds the white space before a word depends on the tokenizer; several tokens may
    share one (the bytes of a character), and a span may be empty.
    """

    ids: list[int]
    spans: list[tuple[int, int]]


class Tokenizer:
    """Thread-safe: ``tokenizers`` releases the GIL while it encodes a batch, and holds no state between texts.

    ``prefix`` and ``suffix`` are the ids of the special tokens that surround every text.
    """

    def __init__(
        self,
        path: Path,
        segment_characters: int = SEGMENT_CHARACTERS,
        max_segment_characters: int = MAX_SEGMENT_CHARACTERS,
    ) -> None:
        """Raises ``BundleError`` if the file is no tokenizer, or one that does more than surround a text."""
        try:
            self._tokenizer = FastTokenizer.from_file(str(path))
        except Exception as error:  # NOTE: tokenizers raises bare Exception for every malformed file.
            raise BundleError(f"{path.name} is not a tokenizer: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._segment_characters, self._max_segment_characters = segment_characters, max_segment_characters
        try:
            self.prefix, self.suffix = self._special_tokens(path.name)
        except InferenceFailed as error:
            raise BundleError(f"{path.name} cannot tokenize plain words: {error}") from None
        # NOTE: all that is left for it to do is to trim spans, and that it does otherwise at a segment's start.
        self._tokenizer.post_processor = None

    def encode(self, text: str) -> list[int]:
        """All ids of the text, with special tokens."""
        return [*self.prefix, *self._ids(text), *self.suffix]

    def segments(self, text: str) -> Iterator[Segment]:
        """The text's tokens, without special ones, tokenized as they are asked for; together those of the whole text.

        At least one segment, also of the empty text, and none of more than ``MAX_SEGMENT_CHARACTERS`` characters.
        """
        start = 0
        while True:
            end = self._segment_end(text, start)
            yield self._segment(text, start, end)
            if end == len(text):
                return
            start = end

    def _segment(self, text: str, start: int, end: int) -> Segment:
        encoding = self._call(self._tokenizer.encode_batch, [text[start:end]])[0]
        return Segment(encoding.ids, [(left + start, right + start) for left, right in encoding.offsets])

    def _segment_end(self, text: str, start: int) -> int:
        """Where the segment that starts at ``start`` may end, else further on, at last where it must."""
        length = self._segment_characters
        while start + length < len(text):
            for end in split_points(text, start + length // 2, start + length):
                if self._is_safe_split(text, end):
                    return end
            if length >= self._max_segment_characters:
                return next(split_points(text, start, start + length), start + length)
            length = min(2 * length, self._max_segment_characters)
        return len(text)

    def _is_safe_split(self, text: str, end: int) -> bool:
        """Whether no normalizer, pre-tokenizer or model looks across ``end``: both sides alone give the same tokens."""
        for size in CONTEXT_SIZES:
            left, right = text[max(0, end - size) : end], text[end : end + size]
            if self._ids(left + right) != self._ids(left) + self._ids(right):
                return False
        return True

    def _special_tokens(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The one way to see the sample texts' ids with special tokens as (prefix, ids without, suffix)."""
        candidates: list[set[tuple[tuple[int, ...], tuple[int, ...]]]] = []
        for sample in SAMPLE_TEXTS:
            plain, whole = self._ids(sample), self._ids(sample, special=True)
            starts = range(len(whole) - len(plain) + 1)
            candidates.append(
                {
                    (tuple(whole[:start]), tuple(whole[start + len(plain) :]))
                    for start in starts
                    if whole[start : start + len(plain)] == plain
                }
            )
        common = set.intersection(*candidates)
        if len(common) != 1:
            raise BundleError(f"{name} has a post-processor that does not just put the same tokens around every text")
        return common.pop()

    def _ids(self, text: str, special: bool = False) -> list[int]:
        # PERF: encode() holds the GIL and tracks spans; encode_batch_fast() does neither.
        ids: list[int]
        if len(text) <= SHORT_TEXT_CHARACTERS:
            ids = self._call(self._tokenizer.encode, text, special).ids
        else:
            ids = self._call(self._tokenizer.encode_batch_fast, [text], special)[0].ids
        return ids

    def _call(self, encode: Callable[..., Any], what: str | list[str], special: bool = False) -> Any:
        try:
            return encode(what, add_special_tokens=special)
        except Exception as error:  # NOTE: tokenizers raises bare Exception.
            raise InferenceFailed(f"tokenizers failed: {error}") from error
