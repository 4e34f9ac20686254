"""The quotes around strings, against a reader that takes one byte after another."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.literals.scan import QUOTES, TooMuchStructure, Unterminated, find_quotes
from tests.support.json_bodies import drained, objects

LIMIT = 64 * 1024


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


@given(objects, st.booleans(), st.integers(1, 50))
@example({"a": "\\", "b": '"'}, True, 3)
@example({"a": '\\"\\\\"', "b\\": "\\\\"}, True, 1)
def test_the_quotes_of_any_object_are_found_whatever_the_block(fields: dict, as_ascii: bool, block: int):
    body = json.dumps(fields, ensure_ascii=as_ascii).encode(errors="surrogatepass")
    assert list(drained(find_quotes(body, LIMIT, block))) == quotes_of(body)


@given(objects, st.integers(1, 50), st.integers(-2, 2))
def test_the_limit_of_what_is_outside_is_exact(fields: dict, block: int, off: int):
    body = json.dumps(fields).encode()
    quotes = quotes_of(body)
    inside = sum(end - begin + 1 for begin, end in zip(quotes[::2], quotes[1::2], strict=True))
    limit = len(body) - inside + off
    if off >= 0:
        drained(find_quotes(body, limit, block))
    elif limit >= 0:
        with pytest.raises(TooMuchStructure):
            drained(find_quotes(body, limit, block))


@given(st.text(st.sampled_from('"\\a,')).map(str.encode), st.integers(0, 20), st.integers(1, 9))
def test_whatever_the_bytes_quotes_come_in_pairs_or_it_is_refused(body: bytes, limit: int, block: int):
    try:
        quotes = drained(find_quotes(body, limit, block))
    except (TooMuchStructure, Unterminated):
        return
    assert len(quotes) % 2 == 0
    assert all(body[at : at + 1] == b'"' for at in quotes)
    assert list(quotes) == sorted(set(quotes))


@pytest.mark.parametrize("filling", [b'"', b'"",', b"[", b" ", b'"a"'])
def test_what_is_nothing_but_structure_is_refused_early(filling: bytes):
    steps = find_quotes(filling * (1 << 21), LIMIT)
    with pytest.raises(TooMuchStructure):
        [next(steps) for _ in range(2 * (LIMIT + 1) // QUOTES + 2)]


def test_each_step_reads_little():
    body = b'{"a":"' + b"x" * 999_900 + b'"}'
    assert sum(1 for _ in find_quotes(body, LIMIT, 1000)) == len(body) // 1000 + 1
    assert sum(1 for _ in find_quotes(b'"a":' * LIMIT, LIMIT)) >= 2 * LIMIT // QUOTES
