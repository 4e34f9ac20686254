"""A body whose long strings are cut out is the body: against a parser that reads it at once."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.literals import reader
from runtime.literals.long_string import LongString
from runtime.literals.reader import SHORTEST, read_cut
from runtime.literals.scan import TooMuchStructure, Unterminated
from tests.support.json_bodies import drained

LIMIT = 64 * 1024

texts = st.text(st.sampled_from('0a"\\/,é😀'), max_size=6)
long_texts = st.builds(lambda text, times: text * times, texts, st.integers(1, 60))
values = st.recursive(
    texts | long_texts | st.integers(-9, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | long_texts, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(autouse=True)
def short_strings_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strings are cut out from 65 bytes on."""
    monkeypatch.setattr(reader, "LONGEST", SHORTEST)


def read(body: bytes) -> Any:
    cut = drained(read_cut(body, LIMIT))
    return restored(cut, cut.value)


def restored(cut: reader.Cut, value: Any) -> Any:
    if isinstance(value, list):
        return [restored(cut, item) for item in value]
    if isinstance(value, dict):
        return {restored(cut, key): restored(cut, item) for key, item in value.items()}
    original = cut.original(value)
    return original.text() if isinstance(original, LongString) else original


def outcome(read: Any, body: bytes) -> Any:
    try:
        return read(body)
    except (TooMuchStructure, Unterminated, orjson.JSONDecodeError):
        return "refused"


@given(values, st.booleans(), st.sampled_from([None, 1]))
@example(["0" * (SHORTEST + 1), "a" * 100], True, None)
@example([f"{0:065d}", f"{1:065d}", "b" * 66], True, None)
@example({"a" * 100: 1, "a" * 101: "a" * 100}, False, None)
def test_any_value_comes_back(value: Any, as_ascii: bool, indent: int | None):
    body = json.dumps(value, ensure_ascii=as_ascii, indent=indent).encode()
    assert read(body) == orjson.loads(body) == value


@given(values, st.booleans(), st.data())
def test_a_body_that_was_damaged_is_what_it_is_for_a_parser(value: Any, as_ascii: bool, data: st.DataObject):
    body = bytearray(json.dumps([value, "x" * 100], ensure_ascii=as_ascii).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        wrong = data.draw(
            st.sampled_from([b"", b'"', b"\\", b"\n", b"\xc3", b"\x80", b"\0", b",", b"]", b"}", b":", b"\\u12"])
        )
        body[at : at + data.draw(st.integers(0, 1))] = wrong
    assert outcome(read, bytes(body)) == outcome(orjson.loads, bytes(body))


@given(st.lists(st.sampled_from([b'"', b"\\", b"a" * 40, b",", b"[", b"]", b'"a":', b"{", b"}", b"\xff"]), max_size=30))
def test_any_bytes_are_what_they_are_for_a_parser(parts: list[bytes]):
    body = b"".join(parts)
    assert outcome(read, body) == outcome(orjson.loads, body)


@pytest.mark.parametrize("depth", [100, 1000, 1023, 1024, 1025, 5000])
def test_nesting_is_as_deep_as_for_a_parser(depth: int):
    body = b"[" * depth + b'"' + b"a" * 100 + b'"' + b"]" * depth
    taken = outcome(lambda body: drained(read_cut(body, LIMIT)) and "taken", body)
    assert taken == outcome(lambda body: orjson.loads(body) and "taken", body)


def test_of_equal_keys_the_last_one_counts():
    body = b'{"a": "%b", "b": 1, "a": ["%b"], "b": "%b"}' % (b"x" * 100, b"y" * 100, b"z" * 100)
    assert read(body) == {"a": ["y" * 100], "b": "z" * 100}


def test_a_long_string_costs_no_copy():
    body = b'{"images": ["%b", "%b"]}' % (b"A" * 4_000_000, b"B\\n" * 1_000_000)
    tracemalloc.start()
    try:
        cut = drained(read_cut(body, LIMIT))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [len(cut.original(item)) for item in cut.value["images"]] == [4_000_000, 3_000_000]
    # Blocks, marks of them, and what a parser takes, which is twelve times as much as it gets.
    assert peak < 2_000_000


def test_of_many_strings_little_is_parsed_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    parsed: list[int] = []
    loads = orjson.loads
    monkeypatch.setattr(reader.orjson, "loads", lambda body: parsed.append(len(body)) or loads(body))
    for count in (1, 100, 10_000, 60_000):
        body = json.dumps({"a": ["x" * (6_000_000 // count)] * count}, separators=(",", ":")).encode()
        parsed.clear()
        assert len(drained(read_cut(body, LIMIT)).value["a"]) == count
        assert parsed[-1] < 4 * reader.LEFT_BYTES
