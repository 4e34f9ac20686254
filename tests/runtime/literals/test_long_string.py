"""Strings that are read a block at a time, against a parser that reads them at once."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.literals.contents import Contents
from runtime.literals.long_string import EscapedText, LongString
from runtime.literals.scan import Unterminated, find_literals
from tests.support.json_bodies import drained, strings

LIMIT = 64 * 1024

LEAST = 16
blocks = st.integers(LEAST, 80)

PIECES = [
    b"a",
    b"\\\\",
    b'\\"',
    b"\\n",
    b"\\/",
    b"\\u0041",
    b"\\ud83d\\ude00",
    "é".encode(),
    "図".encode(),
    "😀".encode(),
]
WRONG = [
    b"\\",
    b"\\x",
    b"\\u12",
    b"\\ud83d",
    b"\\ude00",
    b"\xc3",
    b"\x80",
    b"\xf0\x9f\x98",
    b"\xed\xa0\x80",
    b"\n",
    b"\0",
]

literals = st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)
broken = st.lists(st.sampled_from(PIECES + WRONG), max_size=40).map(b"".join)


def read(literal: bytes, block: int) -> LongString:
    body = b'["' + literal + b'"]'
    return LongString(body, 2, len(literal) + 2, drained(find_literals(body, LIMIT, block)).contents)


def outcome(read: Any) -> Any:
    try:
        return read()
    except (orjson.JSONDecodeError, Unterminated):
        return "refused"


@given(literals, blocks)
@example(b"\\\\" * 40, 17)
@example(b"a" + b"\\ud83d\\ude00" * 8, 18)
def test_whatever_the_blocks_the_text_is_the_same(literal: bytes, block: int):
    string = read(literal, block)
    expected = orjson.loads(b'"%b"' % literal)
    assert string.text() == expected
    parts = [str(part, "ascii") if isinstance(part, memoryview) else str(part) for part in string.blocks(block)]
    assert "".join(parts) == expected
    assert all(len(part) <= block for part in parts)
    # Those of the scan may be larger than those that are read.
    smaller = list(string.blocks(LEAST))
    assert all(len(part.literal) <= LEAST for part in smaller if isinstance(part, EscapedText))
    assert "".join(str(part, "ascii") if isinstance(part, memoryview) else str(part) for part in smaller) == expected


@given(broken, blocks)
@example(b"aaaaaaaaaa\\\\ud83d\\ude00", 17)
@example(b"aaaaaaaaaa\\ud83da", 16)
def test_what_a_parser_refuses_is_refused_and_nothing_else(literal: bytes, block: int):
    # NOTE: a quote that is not escaped would end the string.
    quoted = b'"%b"' % literal
    expected = outcome(lambda: orjson.loads(quoted))
    assert outcome(lambda: read(literal, block).text()) == expected


@given(strings, st.booleans(), blocks)
def test_any_text_comes_back(text: str, as_ascii: bool, block: int):
    literal = json.dumps(text, ensure_ascii=as_ascii).encode()[1:-1]
    assert read(literal, block).text() == text
    assert len(text) <= len(read(literal, block))


@given(st.binary(max_size=200), blocks)
def test_no_bytes_are_taken_for_a_string_that_are_none(data: bytes, block: int):
    data = data.replace(b'"', b"")
    assert outcome(lambda: read(data, block).text()) == outcome(lambda: orjson.loads(b'"%b"' % data))


def test_ascii_is_not_copied():
    body = b'"' + b"abc" * 100 + b'"'
    for part in LongString(body, 1, 301, drained(find_literals(body, LIMIT)).contents).blocks(100):
        assert isinstance(part, memoryview)
        assert part.obj is body


def test_equal_literals_are_equal_wherever_they_are():
    text = bytes(range(0x30, 0x50)) * 20_000
    one, other = read(text, 1000), LongString(b"[[" + text, 2, 2 + len(text), Contents())
    assert one == one
    assert one == other
    assert hash(one) == hash(other)
    for at in (0, len(text) // 3, len(text) - 1):
        changed = read(text[:at] + b"~" + text[at + 1 :], 1000)
        assert changed != one
    assert read(text[:-1], 1000) != one
    assert one != text.decode()
    assert one in {other: None}


@pytest.mark.parametrize("literal", [b"", b"a"])
def test_it_may_be_short(literal: bytes):
    assert read(literal, LEAST).text() == literal.decode()
    assert hash(read(literal, LEAST)) == hash(read(literal, LEAST))
