"""Lists the tokens of a text, one segment at a time, so that a text may be of any length."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

from runtime.batches.each_text import PerToken, too_many_tokens
from runtime.batches.request import Group
from runtime.scheduling.job import Step
from runtime.text.tokenizer import SEGMENT_CHARACTERS, Segment, Tokenizer


@dataclass(frozen=True)
class Listing:
    """Which tokens are listed."""

    like: Any
    """The request for a text's vector: its prompt is tokenized with the text."""
    special: bool
    """Whether special tokens are listed, too."""
    is_query = False


@dataclass(frozen=True, slots=True)
class ListedToken:
    id: int
    text: str
    """What it stands for in prompt and text; of a special token, its name."""
    special: bool
    start: int | None
    """The characters of prompt and text that it stands for begin here; None for a special token."""
    stop: int | None


Write = Callable[[list[ListedToken]], bytes]


def list_tokens(tokenizer: Tokenizer, group: Group, write: Write, most: int) -> Generator[Step, None, PerToken]:
    """The steps of a job that lists the tokens of the group's only text, with a pause after each segment.

    The result's value is what ``write`` has made of them, in pieces. Raises ``InvalidRequest`` for a text of more than
    ``most`` tokens.
    """
    listing: Listing = group.like
    text = listing.like.prompt + group.texts[0]
    pieces: list[bytes] = []
    count = 0

    def add(tokens: list[ListedToken]) -> None:
        nonlocal count
        if tokens:
            pieces.append(write(tokens))
            count += len(tokens)

    if listing.special:
        add(_special(tokenizer, tokenizer.prefix))
    for segment in tokenizer.segments(text):
        add(_listed(text, segment))
        if count > most:
            raise too_many_tokens(group.names[0], most)
        end = segment.spans[-1][1] if segment.spans else len(text)
        yield Step(None, 1 + (len(text) - end) // SEGMENT_CHARACTERS)
    if listing.special:
        add(_special(tokenizer, tokenizer.suffix))
    return PerToken(count, pieces)


def _special(tokenizer: Tokenizer, ids: Iterable[int]) -> list[ListedToken]:
    return [ListedToken(token, tokenizer.name_of(token), True, None, None) for token in ids]


def _listed(text: str, segment: Segment) -> list[ListedToken]:
    return [
        ListedToken(token, text[start:stop], False, start, stop)
        for token, (start, stop) in zip(segment.ids, segment.spans, strict=True)
    ]
