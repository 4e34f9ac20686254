from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.images.clean_base64 import (
    ALPHABET,
    OTHER,
    SPACE,
    characters,
    decode_sextets,
    sextets,
    sextets_of_literal,
)


def decoded(text: bytes) -> bytes | None:
    data = decode_sextets(sextets(text))
    return None if data is None else bytes(data)


@given(st.binary(min_size=1, max_size=300))
def test_whole_quads_are_decoded(data: bytes):
    data *= 3
    assert decoded(base64.b64encode(data)) == data


def test_every_pair_of_characters_is_decoded():
    text = b"".join(bytes([a, b, b, a]) for a in ALPHABET for b in ALPHABET)
    assert decoded(text) == base64.b64decode(text, validate=True)


def test_megabytes_are_decoded():
    data = np.random.default_rng(1).bytes(3 << 20)
    assert decoded(base64.b64encode(data)) == data


@pytest.mark.parametrize("place", range(8))
def test_any_other_byte_is_left_to_others(place: int):
    for byte in set(range(256)) - set(ALPHABET) - set(SPACE):
        text = bytearray(b"aGVsbG8g")
        text[place] = byte
        assert decoded(bytes(text)) is None


def test_white_space_is_left_out_as_python_knows_it():
    assert set(SPACE) == {byte for byte in range(128) if bytes([byte]).isspace()}
    assert sextets(SPACE) == b""
    assert decoded(b"aG\n Vs\tbG\r8g\v\f") == b"hello "


def test_of_nothing_there_is_nothing():
    assert decoded(b"") == b""


def test_characters_are_those_of_their_values():
    assert characters(sextets(ALPHABET)) == ALPHABET
    assert characters(b"") == b""


@given(st.text(st.sampled_from('aZ09+/= \n\r\t\f\b"\\nu!'), max_size=40))
@example("\\\n")
@example("/\\/")
@example("\\n")
def test_a_literal_is_what_its_text_is(text: str):
    literal = json.dumps(text).encode()[1:-1].replace(b"/", b"\\/")
    found, expected = sextets_of_literal(memoryview(literal)), sextets(text.encode())
    # Of what is no base64 only that is known. Which character it is the text tells.
    assert (OTHER in found) == (OTHER in expected)
    assert OTHER in expected or found == expected
