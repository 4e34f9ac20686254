"""Reads a large JSON body whose long strings stay where they are."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import orjson

from runtime.literals.cut import Cut, stand_ins
from runtime.literals.long_string import LongString
from runtime.literals.scan import find_literals

LEFT_BYTES = 2 << 20
"""What is parsed at once has about so many bytes in its strings, for which the interpreter's lock is held for 3 ms."""

SHORTEST, LONGEST = 40, 16 * 1024
"""Bounds of the length up to which strings are left: no name of a field is longer than the first."""

STRINGS = 1024
"""Are cut out in a step."""


def read_cut(body: bytes, max_outside: int) -> Generator[None, None, Cut]:
    """The value of the body. Yields between steps.

    Raises what ``find_literals`` raises, and ``orjson.JSONDecodeError`` for what is no JSON in UTF-8.
    """
    literals = yield from find_literals(body, max_outside)
    contents = literals.contents
    longest_left = min(LONGEST, max(SHORTEST, LEFT_BYTES // max(len(literals.begins), 1)))
    is_long = literals.ends - literals.begins > longest_left
    begins, ends = literals.begins[is_long], literals.ends[is_long]
    for number in np.flatnonzero(contents.are_wrong(begins, ends)):
        # The first that is wrong itself is told by this.
        for _ in LongString(body, int(begins[number]), int(ends[number]), contents).blocks():
            yield
    parts: list[bytes] = []
    at = 0
    for first in range(0, len(begins), STRINGS):
        starts, stops = begins[first : first + STRINGS].tolist(), ends[first : first + STRINGS].tolist()
        between = [body[begin:end] for begin, end in zip([at, *stops], starts, strict=False)]
        for part, stand_in in zip(between, stand_ins(first, len(starts), longest_left + 1), strict=True):
            parts += (part, stand_in)
        at = stops[-1]
        yield
    left = b"".join((*parts, body[at:])) if parts else body
    del parts
    yield
    value = orjson.loads(left)
    return Cut(value, body, begins, ends, contents, longest_left)
