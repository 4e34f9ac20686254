"""The strings of a body, against a reader that takes one byte after another."""

from __future__ import annotations

import json

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.literals.contents import Content
from runtime.literals.division import SMALLEST
from runtime.literals.scan import BLOCK, Literals, TooMuchStructure, Unterminated, find_literals
from tests.support.json_bodies import drained, objects

LIMIT = 64 * 1024

blocks = st.integers(SMALLEST, 60)

RUNS = st.sampled_from([0, 1, 2, 3, 8, 15, 16, 17, 31, 63, 64, 65, 66, 130])
"""Of backslashes."""


def quotes_of(body: bytes) -> list[int]:
    found, inside, escaped = [], False, False
    for at, byte in enumerate(body):
        if escaped:
            escaped = False
        elif byte == ord('"'):
            found.append(at)
            inside = not inside
        elif inside:
            escaped = byte == ord("\\")
    return found


def quotes(literals: Literals) -> list[int]:
    return [at for begin, end in zip(literals.begins, literals.ends, strict=True) for at in (begin - 1, end)]


@given(st.lists(objects, max_size=4), st.booleans(), blocks)
@example([{"a": "\\", "b": '"'}] * 9, True, 16)
@example([{"a": '\\"\\\\"', "b\\": "\\\\"}] * 9, True, 17)
def test_the_strings_of_any_value_are_found_whatever_the_block(value: list, as_ascii: bool, block: int):
    body = json.dumps(value, ensure_ascii=as_ascii).encode(errors="surrogatepass")
    assert quotes(drained(find_literals(body, LIMIT, block))) == quotes_of(body)


@given(st.lists(st.lists(st.tuples(RUNS, st.integers(0, 9)), max_size=4), max_size=4), blocks, st.sampled_from('"nu'))
def test_runs_of_backslashes_escape_what_they_should_whatever_the_block(
    strings: list[list[tuple[int, int]]], block: int, escaped: str
):
    parts = ["".join("\\" * run + escaped * (run % 2) + "a" * plain for run, plain in string) for string in strings]
    body = b"[" + b",".join(f'"{part}"'.encode() for part in parts) + b"]"
    found = drained(find_literals(body, LIMIT, block))
    assert quotes(found) == quotes_of(body)
    assert [body[begin:end].decode() for begin, end in zip(found.begins, found.ends, strict=True)] == parts


@given(st.lists(objects, max_size=3), blocks, st.integers(-2, 2))
def test_the_limit_of_what_is_outside_is_exact(value: list, block: int, off: int):
    body = json.dumps(value).encode()
    found = quotes_of(body)
    inside = sum(end - begin + 1 for begin, end in zip(found[::2], found[1::2], strict=True))
    limit = len(body) - inside + off
    if off >= 0:
        drained(find_literals(body, limit, block))
    elif limit >= 0:
        with pytest.raises(TooMuchStructure):
            drained(find_literals(body, limit, block))


@given(st.text(st.sampled_from('"\\a,'), max_size=80).map(str.encode), st.integers(0, 20), blocks)
def test_whatever_the_bytes_quotes_come_in_pairs_or_it_is_refused(body: bytes, limit: int, block: int):
    try:
        found = quotes(drained(find_literals(body, limit, block)))
    except (TooMuchStructure, Unterminated):
        return
    assert len(found) % 2 == 0
    assert all(body[at : at + 1] == b'"' for at in found)
    assert found == sorted(set(found))


SIMPLE = set('nrtbf"\\/')


def content_of(literal: bytes) -> Content:
    try:
        orjson.loads(b'"%b"' % literal)
    except orjson.JSONDecodeError:
        return Content.WRONG
    escaped = {chr(literal[at + 1]) for at in range(len(literal)) if is_escape(literal, at)}
    if not literal.isascii():
        return Content.OTHER if escaped else Content.UNESCAPED
    return Content.OTHER if escaped - SIMPLE else Content.ESCAPED if escaped else Content.PLAIN


def is_escape(literal: bytes, at: int) -> bool:
    run = len(literal[: at + 1]) - len(literal[: at + 1].rstrip(b"\\"))
    return run % 2 == 1


READABLE_AS = {
    Content.PLAIN: set(Content),
    Content.ESCAPED: {Content.ESCAPED, Content.OTHER, Content.WRONG},
    Content.UNESCAPED: {Content.UNESCAPED, Content.OTHER, Content.WRONG},
    Content.OTHER: {Content.OTHER, Content.WRONG},
    Content.WRONG: {Content.WRONG},
}
"""What a block may be said to have in which there is such a string, among others."""

LITERALS = [
    b"a" * 30,
    b"\\\\" * 9,
    b"\\n",
    b"\\/",
    b'\\"',
    b"\\b\\f\\r\\t",
    b"\\u0041",
    b"\\ud83d\\ude00",
    "é図😀".encode(),
]
BROKEN = [b"\\x", b"\\u12", b"\\ud83d", b"\xc3", b"\x80\x80\x80\x80\x80", b"\n", b"\0", b"\\"]

literals = st.lists(st.sampled_from(LITERALS), max_size=6).map(b"".join)
any_literals = st.lists(st.sampled_from(LITERALS + BROKEN), max_size=4).map(b"".join)


def is_one(literal: bytes) -> bool:
    return quotes_of(b'"%b"' % literal) == [0, len(literal) + 1]


@given(st.lists(literals | any_literals.filter(is_one), max_size=8), blocks, st.sampled_from([b",", b",\n\t", b":"]))
def test_what_strings_have_is_known_by_the_blocks_they_are_in(parts: list[bytes], block: int, between: bytes):
    body = b"[\n" + between.join(b'"%b"' % part for part in parts) + b"]"
    found = drained(find_literals(body, LIMIT, block))
    wrong = found.contents.are_wrong(found.begins, found.ends)
    assert [body[begin:end] for begin, end in zip(found.begins, found.ends, strict=True)] == parts
    for number, (begin, end) in enumerate(zip(found.begins, found.ends, strict=True)):
        contents = []
        for at, stop, content in found.contents.within(int(begin), int(end)):
            contents.append(content)
            assert content in READABLE_AS[content_of(body[at:stop])]
        if begin < end:
            assert wrong[number] == (Content.WRONG in contents)
    assert wrong.any() == (Content.WRONG in map(content_of, parts))


@given(st.lists(literals, max_size=20).map(b"".join), blocks)
def test_a_block_has_its_own_content_and_divides_nothing(literal: bytes, block: int):
    body = b'"%b"' % literal
    found = drained(find_literals(body, LIMIT, block))
    at = 1
    for begin, end, content in found.contents.within(1, len(body) - 1):
        assert begin == at
        assert end - begin <= block
        assert content == content_of(body[begin:end])
        at = end
    assert at == len(body) - 1 or not literal


@pytest.mark.parametrize("filling", [b'"', b'"",', b"[", b" ", b'"a"'])
def test_what_is_nothing_but_structure_is_refused_early(filling: bytes):
    steps = find_literals(filling * (1 << 21), LIMIT)
    with pytest.raises(TooMuchStructure):
        [next(steps) for _ in range(3 * 2 * (LIMIT + 1) // BLOCK + 1)]


@pytest.mark.parametrize("filling", [b"x", b'\\"', b"\\\\", b"\\u0041", "é".encode(), b'","' + b"x" * 97])
def test_each_step_reads_little(filling: bytes):
    body = b'{"a":"' + filling * (600_000 // len(filling)) + b'"}'
    steps = sum(1 for _ in find_literals(body, LIMIT, 1000))
    assert len(body) / 1000 <= steps <= len(body) / (1000 - SMALLEST) + 1


def test_bytes_that_only_continue_characters_are_read_once():
    body = b'"' + b"\x80" * 100_000 + b'"'
    assert sum(1 for _ in find_literals(body, LIMIT, 1000)) <= 102
    found = drained(find_literals(body, LIMIT))
    assert found.contents.are_wrong(np.array([1]), np.array([9])).all()
