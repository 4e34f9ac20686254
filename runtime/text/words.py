"""Remembers the token ids of words, for tokenizers in which a word's tokens do not depend on its neighbors."""

from __future__ import annotations

from collections.abc import Callable

from tokenizers import Tokenizer as FastTokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from runtime.text.packed import ID_BYTES, pack, unpack

MAX_WORDS = 1 << 14
"""So many words are known at most. English ones take some 3 MB; 10 MB if each is as long as it may be."""

MAX_CHARACTERS = 32
MAX_TOKENS = 8
"""Longer words are hardly ever repeated. They are tokenized each time."""

SPACE = " "

MARKS = ".,;:!?"
"""Each is split off from what is beside it."""

CUTS = frozenset(SPACE + MARKS)


class Words:
    """Token ids of texts, word by word. What is between two spaces counts as a word. Thread-safe."""

    def __init__(self, tokenize: Callable[[str], list[int]], max_words: int = MAX_WORDS) -> None:
        """``tokenize`` returns the ids of any text. It ``splits_at_spaces``."""
        self._tokenize, self._max_words = tokenize, max_words
        # PERF: bytes, because a list of known ids looks at each of them, wherever it is in memory.
        self._known: dict[str, bytes] = {}

    def __len__(self) -> int:
        """How many words are known."""
        return len(self._known)

    def ids(self, text: str) -> list[int]:
        """What ``tokenize`` returns for the text."""
        return unpack(self.packed(text))

    def packed(self, text: str) -> bytes:
        """The same, packed."""
        words, known = text.split(SPACE), self._known
        try:
            # PERF: in most texts all words are known, and a look-up takes a fiftieth of tokenizing.
            return b"".join(map(known.__getitem__, words))
        except KeyError:
            return b"".join([self._look_up(word) for word in words])

    def _look_up(self, word: str) -> bytes:
        ids = self._known.get(word)
        return self._learn(word) if ids is None else ids

    def _learn(self, word: str) -> bytes:
        stem = word.rstrip(MARKS)
        if stem and len(stem) < len(word):
            # PERF: a word at the end of a clause is mostly known without the mark.
            ids = b"".join([self._look_up(stem), *map(self._look_up, word[len(stem) :])])
        else:
            ids = pack(self._tokenize(word))
        if len(word) <= MAX_CHARACTERS and len(ids) <= MAX_TOKENS * ID_BYTES:
            if len(self._known) >= self._max_words:
                # What is in use comes back with the next texts, so that nothing needs to be known about use.
                self._known.clear()
            self._known[word] = ids
        return ids


def splits_at_spaces(tokenizer: FastTokenizer) -> bool:
    """Whether the tokens of a text are those of its words in a row, wherever a space separates two of them.

    The same holds for ``MARKS`` at the end of a word. True for BERT's tokenizers: they look at one character at a time,
    and at one word at a time. Spaces and marks end a word, and no accent moves across them. Added tokens are found in
    the text as it is, which these could only change if they were part of one, if it took the white space beside it, or
    was compared in another form.
    """
    is_bert = (
        isinstance(tokenizer.normalizer, BertNormalizer)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and isinstance(tokenizer.model, WordPiece)
    )
    return is_bert and not any(
        token.lstrip or token.rstrip or token.single_word or token.normalized or not CUTS.isdisjoint(token.content)
        for token in tokenizer.get_added_tokens_decoder().values()
    )
