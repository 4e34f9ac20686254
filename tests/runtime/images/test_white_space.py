from __future__ import annotations

import json
import string

from hypothesis import example, given
from hypothesis import strategies as st

from runtime.images.white_space import SPACE, without_space, without_space_of_literal

ALPHABET = set(f"{string.ascii_letters}{string.digits}+/=".encode())


def test_white_space_is_what_python_takes_for_it():
    assert set(SPACE) == {byte for byte in range(128) if bytes([byte]).isspace()}
    assert without_space(SPACE) == b""
    assert without_space(b"aG\n Vs\tbG\r8g\v\f") == b"aGVsbG8g"


def test_every_other_byte_is_left():
    others = bytes(sorted(set(range(256)) - set(SPACE)))
    assert without_space(others) == others


@given(st.text(st.sampled_from('aZ09+/= \n\r\t\f\b"\\nu!'), max_size=40))
@example("\\\n")
@example("/\\/")
@example("\\n")
def test_a_literal_is_what_its_text_is(text: str):
    literal = json.dumps(text).encode()[1:-1].replace(b"/", b"\\/")
    found, expected = without_space_of_literal(memoryview(literal)), without_space(text.encode())
    # Of what is no base64 only that is known. Which character it is the text tells.
    assert (set(found) <= ALPHABET) == (set(expected) <= ALPHABET)
    assert not set(expected) <= ALPHABET or found == expected


@given(st.text(st.sampled_from('aZ09+/= \n\r\t\f\b"\\nu!'), max_size=40))
def test_the_literals_first_byte_that_is_not_base64_is_where_the_texts_is(text: str):
    literal = json.dumps(text).encode()[1:-1].replace(b"/", b"\\/")
    found, expected = without_space_of_literal(memoryview(literal)), without_space(text.encode())
    assert length_of_base64(found) == length_of_base64(expected)


def length_of_base64(text: bytes) -> int:
    return next((at for at, byte in enumerate(text) if byte not in ALPHABET), len(text))
