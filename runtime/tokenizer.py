"""Owns the tokenizer: text to the original's token ids, cut at ``max_tokens`` as the original does."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer as FastTokenizer

from manifest import BundleError
from runtime.errors import InferenceFailed

CHARACTERS_PER_TOKEN = 16
"""A first guess of how much text fills the window; a wrong one costs a second pass, not a wrong result."""


class Tokenizer:
    """Thread-safe: ``tokenizers`` releases the GIL while it encodes, and holds no state between texts."""

    def __init__(self, path: Path, max_tokens: int) -> None:
        """Raises ``BundleError`` if the file is not a tokenizer."""
        try:
            self._tokenizer = FastTokenizer.from_file(str(path))
        except Exception as error:  # NOTE: tokenizers raises bare Exception for every malformed file.
            raise BundleError(f"{path.name} is not a tokenizer: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._max_tokens = max_tokens

    def encode(self, text: str) -> list[int]:
        """Token ids with special tokens, at most ``max_tokens`` of them."""
        length = self._max_tokens * CHARACTERS_PER_TOKEN
        while (end := leading_words(text, length)) < len(text):
            # PERF: a text far beyond the window is not tokenized whole, which would take memory and time for nothing.
            ids = self._encode(text[:end])
            if len(ids) == self._max_tokens:
                return ids
            length *= 4
        return self._encode(text)

    def _encode(self, text: str) -> list[int]:
        try:
            # PERF: unlike encode(), encode_batch_fast() releases the GIL, and it tracks no offsets.
            ids: list[int] = self._tokenizer.encode_batch_fast([text])[0].ids
        except Exception as error:  # NOTE: tokenizers raises bare Exception.
            raise InferenceFailed(f"tokenizers failed: {error}") from error
        return ids


def leading_words(text: str, length: int) -> int:
    """Where a prefix of about ``length`` characters may end so that its tokens are the first ones of the whole text.

    That is before an ASCII space or line feed that follows a letter or digit: no normalizer or pre-tokenizer of the
    supported families looks across it. ``len(text)`` where the text is shorter or has no such place in the second
    half of the prefix.
    """
    if len(text) <= length:
        return len(text)
    for end in range(length, length // 2, -1):
        if text[end] in " \n" and text[end - 1].isalnum():
            return end
    return len(text)
