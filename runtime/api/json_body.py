"""Parses the JSON of a body, unless that would hold the interpreter for long."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import orjson

from runtime.errors import InvalidRequest
from runtime.literals.cut import Cut
from runtime.literals.reader import read_cut
from runtime.literals.scan import TooMuchStructure, Unterminated

MAX_STRUCTURE_BYTES = 64 * 1024
"""A body may have so many bytes outside its strings. Parsing holds the interpreter's lock, and takes up to 3 ms for so
many; a megabyte of brackets takes 140 ms, and a megabyte of text half of one."""


SMALL_BODY = 1 << 20
"""Bodies up to this size are parsed whole: that is quicker where there are many strings."""


def parse_object(body: bytes, what: str = "an object with a text") -> dict[str, Any]:
    """The fields of the body; ``what``: what it must be, in messages.

    Raises ``InvalidRequest`` for what is no object or has too much JSON around strings.
    Raises ``MemoryError`` where there is none left.
    """
    if not has_little_structure(body):
        raise _too_much_structure()
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _failure(error, str(error)) from None
    return _as_object(value, what)


def parse_cut(body: bytes, what: str) -> Generator[None, None, Cut]:
    """The same fields. The long strings of a large body stay where they are, and others stand for them.

    Yields between steps of about a millisecond. Raises as ``parse_object``.
    """
    if len(body) <= SMALL_BODY:
        return Cut.whole(parse_object(body, what), len(body))
    try:
        cut = yield from read_cut(body, MAX_STRUCTURE_BYTES)
    except TooMuchStructure:
        raise _too_much_structure() from None
    except Unterminated:
        raise InvalidRequest(f"{NOT_JSON}: a string has no end") from None
    except orjson.JSONDecodeError as error:
        # NOTE: its position is not the body's.
        raise _failure(error, error.msg) from None
    _as_object(cut.value, what)
    return cut


NOT_JSON = "the body is not valid JSON in UTF-8"


def _as_object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"the body must be {what}, not {name_of(value)}")
    return value


def _too_much_structure() -> InvalidRequest:
    return InvalidRequest(
        f"the body has more than {MAX_STRUCTURE_BYTES} bytes of JSON outside its strings, the limit of this server"
    )


def _failure(error: orjson.JSONDecodeError, detail: str) -> Exception:
    # NOTE: that is how orjson reports a failed allocation, which is not the caller's fault.
    if "memory" in error.msg.lower():
        return MemoryError(error.msg)
    return InvalidRequest(f"{NOT_JSON}: {detail}")


def has_little_structure(body: bytes, max_bytes: int = MAX_STRUCTURE_BYTES) -> bool:
    """Whether at most ``max_bytes`` of the body are outside strings.

    Takes a millisecond for a megabyte, and 10 for one of nothing but escaped quotes.
    """
    if len(body) <= max_bytes:
        return True
    if b"\\" in body:
        # What remains has no quotes inside strings. Escaped backslashes go first, since they escape no quote.
        body = body.replace(rb"\\", b"").replace(rb"\"", b"")
    # PERF: each string but the last needs a comma or a colon behind it, so that more of them need not be counted.
    if body.count(b'"') > 2 * (max_bytes + 1):
        return False
    return sum(map(len, body.split(b'"')[::2])) <= max_bytes


def whole_number(value: Any) -> int | None:
    """The number if it has no fraction: JSON does not tell 2.0 from 2. None for anything else."""
    if type(value) is int:
        return value
    return int(value) if type(value) is float and value.is_integer() else None


def show(value: Any) -> str:
    """The value as JSON where it is short, else its kind: messages must not carry a body back."""
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested deeper than what orjson writes
        return name_of(value)
    return text if len(text) <= 40 else name_of(value)


def name_of(value: Any) -> str:
    """What a parsed value is in JSON."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
