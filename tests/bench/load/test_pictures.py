"""Images to send: JPEGs of the right size, distinct as files, and the same ones for the same seed."""

from __future__ import annotations

import io
from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.load.pictures import TWELVE_MEGAPIXELS, USUAL, Size, endless_jpegs, jpeg, with_comment

SMALL = Size(32, 24, 3)
FILE = jpeg(32, 24, 0)


def pixels(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as picture:
        assert picture.format == "JPEG"
        return np.asarray(picture)


def test_no_file_comes_twice_though_pictures_do():
    files = list(islice(endless_jpegs(SMALL, "a"), 9))
    assert len(set(files)) == 9
    assert len({pixels(file).tobytes() for file in files}) == SMALL.different
    assert pixels(files[0]).shape == (24, 32, 3)


def test_they_are_the_same_for_the_same_seed_and_others_for_another():
    first, same, other = (next(endless_jpegs(SMALL, seed)) for seed in "aab")
    assert first == same
    assert (pixels(first) != pixels(other)).any()


@given(comment=st.binary(max_size=300) | st.just(b"x" * 65_533))
def test_a_comment_changes_no_pixel(comment: bytes):
    file = with_comment(FILE, comment)
    assert len(file) == len(FILE) + 4 + len(comment)
    np.testing.assert_array_equal(pixels(file), pixels(FILE))


def test_sizes_are_what_reports_call_them():
    assert (USUAL.width, USUAL.height) == (640, 480)
    assert TWELVE_MEGAPIXELS.width * TWELVE_MEGAPIXELS.height == 12_000_000
