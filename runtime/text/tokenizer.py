"""Text to token ids, the same as the original tokenizer's: at once or, for long texts, segment by segment."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

from manifest import BundleError
from runtime.errors import InferenceFailed
from runtime.text.packed import pack
from runtime.text.split_points import split_points
from runtime.text.words import Words, splits_at_spaces

SEGMENT_CHARACTERS = 16_384
"""A segment has at most this many characters where it can be split, which bounds tokenizing to some 5 ms at a time.
Finding the end of a segment takes 0.1 ms."""

MAX_SEGMENT_CHARACTERS = 1 << 17
"""A stretch of this many characters without a safe split, such as one endless word, is split anyway, which may change a
token there. Otherwise a few such texts at once would take all memory."""

CONTEXT_SIZES = (64, 59)
"""A split is safe if this many characters on each side have the same tokens joined and apart. The two numbers have no
common factor, because the tokens of a run such as "-----" depend on where it begins."""

SHORT_TEXT_CHARACTERS = 512
"""Texts of up to this many characters, which take some 0.1 ms, are tokenized without releasing the GIL: under load,
getting it back takes longer than that."""

REMEMBERED_TEXT_CHARACTERS = 2048
"""In texts of up to this many characters, words are looked up where the tokenizer allows it. If none is known, that
takes two to three times as long as tokenizing the text as a whole, and some 4 ms at most."""

SAMPLE_TEXTS = ("", "a", "Two words, 12 signs.")
"""The tokens of these texts show which special tokens surround every text."""


@dataclass(frozen=True)
class Segment:
    """The tokens of a stretch of a text."""

    ids: list[int]
    """Token ids, without special tokens."""
    spans: list[tuple[int, int]]
    """The characters of the whole text that each token stands for, as (start, end).

    Whether a span includes the white space before a word depends on the tokenizer. Several tokens may share a span (the
    bytes of a character), and a span may be empty.
    """


@dataclass(frozen=True)
class PairFrame:
    """The special tokens around and between two texts, and the types of all tokens."""

    prefix: tuple[int, ...] = ()
    middle: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    prefix_types: tuple[int, ...] = ()
    middle_types: tuple[int, ...] = ()
    suffix_types: tuple[int, ...] = ()
    first_type: int = 0
    """Of the first text's own tokens."""
    second_type: int = 1
    """Of the second text's own tokens."""


class Tokenizer:
    """A tokenizer of the library ``tokenizers`` that adds special tokens by itself.

    Thread-safe: the library keeps no state between texts, and releases the GIL while it encodes a batch.
    """

    prefix: tuple[int, ...]
    """Ids of the special tokens before every text."""
    suffix: tuple[int, ...]
    """Ids of the special tokens after every text."""

    def __init__(
        self,
        path: Path,
        segment_characters: int = SEGMENT_CHARACTERS,
        max_segment_characters: int = MAX_SEGMENT_CHARACTERS,
    ) -> None:
        """Raises ``BundleError`` if the file is not a tokenizer, or one that does more than surround a text."""
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
        self._packed_frame = pack(self.prefix), pack(self.suffix)
        self._name, self._post_processor = path.name, self._tokenizer.post_processor
        # NOTE: with special tokens added here, it would only trim spans, and differently at the start of a segment.
        self._tokenizer.post_processor = None
        self._words = Words(self._ids) if splits_at_spaces(self._tokenizer) else None

    @property
    def vocabulary_size(self) -> int:
        """How many tokens there are, special ones included."""
        return int(self._tokenizer.get_vocab_size())

    def name_of(self, token: int) -> str:
        """Return what the token of this id is called."""
        return str(self._tokenizer.id_to_token(token))

    def encode(self, text: str) -> list[int]:
        """Return all ids of the text, with special tokens."""
        return [*self.prefix, *self.plain(text), *self.suffix]

    def encode_all(self, texts: Sequence[str]) -> list[bytes]:
        """Return all ids of each text, packed, with special tokens.

        PERF: one call for all texts whose words are not looked up, which releases the GIL once.
        """
        prefix, suffix = self._packed_frame
        if self._words is None:
            encodings = self._call(self._tokenizer.encode_batch_fast, list(texts)) if texts else []
            return [b"".join((prefix, pack(encoding.ids), suffix)) for encoding in encodings]
        packed = self._words.packed
        return [
            b"".join((prefix, packed(text), suffix))
            if len(text) <= REMEMBERED_TEXT_CHARACTERS
            else pack(self.encode(text))
            for text in texts
        ]

    def plain(self, text: str) -> list[int]:
        """Return all ids of the text, without special tokens."""
        if self._words is not None and len(text) <= REMEMBERED_TEXT_CHARACTERS:
            return self._words.ids(text)
        return self._ids(text)

    def pair_frame(self) -> PairFrame:
        """Return what surrounds the tokens of every pair of texts. Not thread-safe.

        Raises ``BundleError`` for a tokenizer that treats pairs in different ways.
        """
        if self._post_processor is None:
            return PairFrame()
        self._tokenizer.post_processor = self._post_processor
        frames = {self._frame_of(*pair) for pair in itertools.permutations(SAMPLE_TEXTS[1:])}
        self._tokenizer.post_processor = None
        frame = frames.pop()
        if frames or frame is None:
            raise BundleError(f"{self._name} has a post-processor that does more than put the same tokens around pairs")
        return frame

    def segments(self, text: str) -> Iterator[Segment]:
        """Yield the text's tokens, without special tokens, segment by segment, each tokenized when it is asked for.

        Together they are the tokens of the whole text. An empty text has one segment; none has more than
        ``MAX_SEGMENT_CHARACTERS`` characters.
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
        """Return the index where the segment from ``start`` ends: at a safe split, or where it has to."""
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
        """Whether both sides of ``end`` have the same tokens joined and apart, so that nothing looks across it."""
        for size in CONTEXT_SIZES:
            left, right = text[max(0, end - size) : end], text[end : end + size]
            if self._ids(left + right) != self._ids(left) + self._ids(right):
                return False
        return True

    def _frame_of(self, first: str, second: str) -> PairFrame | None:
        """Return what surrounds the tokens of this pair; None if they themselves are changed."""
        lengths = len(self._ids(first)), len(self._ids(second))
        pair = self._tokenizer.encode(first, second)
        begins = [index for index, text in enumerate(pair.sequence_ids) if text == 0]
        follows = [index for index, text in enumerate(pair.sequence_ids) if text == 1]
        if (len(begins), len(follows)) != lengths or begins[-1] > follows[0]:
            return None
        ids, types = pair.ids, pair.type_ids
        before, between, after = slice(begins[0]), slice(begins[-1] + 1, follows[0]), slice(follows[-1] + 1, None)
        return PairFrame(
            prefix=tuple(ids[before]),
            middle=tuple(ids[between]),
            suffix=tuple(ids[after]),
            prefix_types=tuple(types[before]),
            middle_types=tuple(types[between]),
            suffix_types=tuple(types[after]),
            first_type=types[begins[0]],
            second_type=types[follows[0]],
        )

    def _special_tokens(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the only (prefix, suffix) that surrounds the ids of every sample text."""
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
            raise BundleError(f"{name} has a post-processor that does more than put the same tokens around every text")
        return common.pop()

    def _ids(self, text: str, special: bool = False) -> list[int]:
        # PERF: encode() holds the GIL and tracks spans; encode_batch_fast() does neither.
        ids: list[int]
        if len(text) <= SHORT_TEXT_CHARACTERS:
            ids = self._call(self._tokenizer.encode, text, special).ids
        else:
            ids = self._call(self._tokenizer.encode_batch_fast, [text], special)[0].ids
        return ids

    def _call(self, encode: Callable[..., Any], what: str | Sequence[str], special: bool = False) -> Any:
        try:
            return encode(what, add_special_tokens=special)
        except Exception as error:  # NOTE: tokenizers raises bare Exception.
            raise InferenceFailed(f"tokenizers failed: {error}") from error
