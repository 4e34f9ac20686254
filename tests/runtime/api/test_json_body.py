"""Parsing JSON: what is refused before it is parsed, against a reader that takes one byte after another."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.api.json_body import MAX_STRUCTURE_BYTES, has_little_structure, parse_object, show
from runtime.errors import InvalidRequest
from tests.support.paths import ROOT

LIMIT = MAX_STRUCTURE_BYTES
TOO_MUCH = f"the body has more than {LIMIT} bytes of JSON outside its strings, the limit of this server"


def bytes_outside_strings(body: bytes) -> int:
    """Counts one byte after another. Quotes count as neither."""
    outside, inside, escaped = 0, False, False
    for byte in body:
        if not inside:
            inside = byte == ord('"')
            outside += not inside
        elif escaped:
            escaped = False
        else:
            inside, escaped = byte != ord('"'), byte == ord("\\")
    return outside


strings = st.text(st.sampled_from('a"\\/\n,[]{}:é😀')) | st.text()
values = st.recursive(
    strings | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(strings, values, max_size=4), st.booleans(), st.integers(-2, 2))
@example({"a": "\\", "b": '"'}, True, 0)
@example({"a": '\\"\\\\"', "b\\": "\\\\"}, True, -1)
def test_of_any_object_what_is_outside_strings_is_counted_exactly(fields: dict, as_ascii: bool, off: int):
    body = json.dumps(fields, ensure_ascii=as_ascii).encode(errors="surrogatepass")
    outside = bytes_outside_strings(body)
    assert has_little_structure(body, max(0, outside + off)) is (off >= 0 or len(body) <= outside + off)


@given(st.text(st.sampled_from('"\\a,')).map(str.encode), st.integers(0, 20))
def test_whatever_the_bytes_an_answer_is_given(body: bytes, limit: int):
    assert has_little_structure(body, limit) in (True, False)


@pytest.mark.parametrize(
    "filling",
    [b"[],", b"{},", b"1,", b'"",', b"1.5e3,", b" ", b"[", b'"a",', b"null,"],
)
def test_too_much_around_the_strings_is_refused_before_it_is_parsed(filling: bytes):
    body = b'{"text": "a", "config": [' + filling * (LIMIT // len(filling) + 1) * 4
    with pytest.raises(InvalidRequest) as caught:
        parse_object(body)
    assert str(caught.value) == TOO_MUCH


def test_the_limit_is_exact():
    body = b'{"text":"' + b"x" * LIMIT + b'"}'
    room = LIMIT - 3
    assert parse_object(body + b" " * room)["text"] == "x" * LIMIT
    with pytest.raises(InvalidRequest, match="bytes of JSON outside its strings"):
        parse_object(body + b" " * (room + 1))


def test_many_members_are_refused():
    members = {f"key {n}": n for n in range(LIMIT // 4)}
    with pytest.raises(InvalidRequest, match="bytes of JSON outside its strings"):
        parse_object(json.dumps({"text": "a", "config": members}).encode())


@pytest.mark.parametrize("text", ["[1, 2, 3], " * 50_000, '{"a": "b"}' * 50_000, '"' * 300_000, "\\" * 300_000])
def test_a_text_may_be_full_of_json(text: str):
    assert parse_object(json.dumps({"text": text}).encode()) == {"text": text}


@pytest.mark.parametrize("depth", [1, 100, 253, 254, 255, 500, 1000])
def test_a_value_is_shown_by_its_kind_where_it_is_long_or_deep(depth: int):
    value: object = 1
    for _ in range(depth):
        value = [value]
    assert show(value) == ("[1]" if depth == 1 else "a list")
    assert show({"a": value}) == ('{"a":[1]}' if depth == 1 else "an object")


OUT_OF_MEMORY = """
import resource
from pathlib import Path

from runtime.api.json_body import parse_object

body = b'{"text": "%s"}' % (b"a b " * 260_000)
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (8 << 20), resource.RLIM_INFINITY))
try:
    parse_object(body)
except Exception as error:
    print(type(error).__name__)
"""
"""A program that parses a megabyte with 8 MB of memory left, which the parser does not even begin with."""


def test_a_lack_of_memory_is_not_the_callers_fault():
    parsed = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY], cwd=ROOT, capture_output=True, text=True, check=True)
    assert parsed.stdout == "MemoryError\n"
