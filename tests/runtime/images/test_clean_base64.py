from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.images.clean_base64 import ALPHABET, decode_clean


@given(st.binary(min_size=1, max_size=300))
def test_whole_quads_are_decoded(data: bytes):
    data *= 3
    assert decode_clean(base64.b64encode(data)) == data


def test_every_pair_of_characters_is_decoded():
    text = b"".join(bytes([a, b, b, a]) for a in ALPHABET for b in ALPHABET)
    assert decode_clean(text) == base64.b64decode(text, validate=True)


def test_megabytes_are_decoded():
    data = np.random.default_rng(1).bytes(3 << 20)
    assert decode_clean(base64.b64encode(data)) == data


@pytest.mark.parametrize("place", range(8))
def test_any_other_byte_is_left_to_others(place: int):
    for byte in set(range(256)) - set(ALPHABET):
        text = bytearray(b"aGVsbG8g")
        text[place] = byte
        assert decode_clean(bytes(text)) is None


def test_nothing_is_left_to_others():
    assert decode_clean(b"") is None
