"""Finds the string literals of a JSON body, in steps that each take about a millisecond."""

from __future__ import annotations

from array import array
from collections.abc import Generator

BLOCK = 128 * 1024
"""Bytes of a step. Nothing but escaped quotes take a millisecond."""

QUOTES = 4096
"""In a step, at most."""


class TooMuchStructure(Exception):
    """The body has more bytes outside its strings than allowed."""


class Unterminated(Exception):
    """The last string has no end."""


def find_quotes(body: bytes, max_outside: int, block: int = BLOCK) -> Generator[None, None, array[int]]:
    """The positions of the quotes around all strings: of the first one its beginning and its end, and so on.

    Yields between steps. A backslash outside strings, which JSON does not have, makes what follows it mean nothing,
    and is itself outside the strings that are found. Raises ``TooMuchStructure`` for more than ``max_outside`` bytes
    outside strings, and ``Unterminated``.
    """
    quotes = array("Q")
    # Bytes outside strings before ``since``, which is where the last string ended.
    outside = since = 0
    is_escaped = False
    for start in range(0, len(body), block):
        end = min(start + block, len(body))
        part, base = body, 0
        if is_escaped or body.find(b"\\", start, end) >= 0:
            part, base = body[start:end], start
            # PERF: most parts of a long string have no quote, whatever else is escaped in them.
            if b'"' in part:
                part = _without_escapes(part, is_escaped)
            is_escaped = _escapes_next(part, is_escaped)
        at = part.find(b'"', start - base, end - base)
        while at >= 0:
            if len(quotes) % 2:
                since = base + at + 1
            else:
                outside += base + at - since
            quotes.append(base + at)
            # PERF: each string but the last needs a comma or a colon behind it, so that more of them need not be seen.
            if outside > max_outside or len(quotes) > 2 * (max_outside + 1):
                raise TooMuchStructure
            if not len(quotes) % QUOTES:
                yield
            at = part.find(b'"', at + 1, end - base)
        if not len(quotes) % 2 and outside + end - since > max_outside:
            raise TooMuchStructure
        yield
    if len(quotes) % 2:
        raise Unterminated
    return quotes


def _without_escapes(part: bytes, is_escaped: bool) -> bytes:
    """The part without escaped backslashes and quotes, as long as before; ``is_escaped``: whether its first byte is."""
    if is_escaped:
        part = b"_" + part[1:]
    # Escaped backslashes go first, since they escape no quote.
    return part.replace(rb"\\", b"__").replace(rb"\"", b"__")


def _escapes_next(part: bytes, is_escaped: bool) -> bool:
    """Whether the part escapes the byte after it; ``is_escaped``: whether its own first byte is."""
    run = len(part) - len(part.rstrip(b"\\"))
    return (run - (is_escaped and run == len(part))) % 2 == 1
