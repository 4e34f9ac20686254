from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.images.enlarge import enlarge
from runtime.images.geometry import MAX_ENLARGED, Span, square_of
from sections.pixels import PixelInput
from tests.support.images.inputs import HALF, cropped


@given(st.integers(1, 100_000), st.integers(1, 100_000), st.integers(1, 500), st.integers(1, 500))
def test_the_square_lies_within_the_resized_image(width: int, height: int, short_side: int, side: int):
    wanted = PixelInput(short_side, min(side, short_side), 1 / 255, HALF, HALF)
    for span, length in zip(square_of(width, height, wanted), (width, height), strict=True):
        assert span.resized >= short_side
        assert 0 <= span.offset <= span.resized - span.kept
        assert 0 <= span.read.start < span.read.stop <= length


def test_the_shorter_side_decides():
    columns, rows = square_of(640, 480, cropped(224))
    assert (columns.resized, columns.offset) == (298, 37)
    assert (rows.resized, rows.offset) == (224, 0)


def test_a_stretched_image_is_read_whole():
    for span, length in zip(square_of(8000, 3, replace(cropped(224), stretches=True)), (8000, 3), strict=True):
        assert (span.resized, span.kept, span.offset, span.read) == (224, 224, 0, range(length))


def test_a_side_that_would_become_far_longer_is_read_in_part():
    columns, rows = square_of(8000, 3, cropped(224))
    assert columns.resized == 597_333
    assert 3990 < columns.read.start < columns.read.stop < 4010
    assert list(rows.read) == [0, 1, 2]


def test_a_side_that_is_reduced_is_read_whole():
    columns, _ = square_of(60_000, 1000, cropped(224))
    assert columns.resized > MAX_ENLARGED
    assert columns.read == range(60_000)


@given(st.integers(2, 40), st.integers(2, 30), st.integers(1, 50), st.integers(0, 255))
def test_a_flat_side_stays_flat(length: int, factor: int, kept: int, value: int):
    span = Span(length, max(length * factor, kept), kept)
    assert (enlarge(np.full((length, 2), value, np.uint8), span) == value).all()


def test_a_part_gives_what_the_whole_would():
    pixels = np.random.default_rng(0).integers(0, 256, (3000, 2), dtype=np.uint8)
    span = Span(3000, 30_000, 100)
    whole = enlarge(pixels, Span(3000, 30_000, 30_000))
    # The whole's own part is all of it, because it keeps all.
    assert Span(3000, 30_000, 30_000).read == range(3000)
    part = pixels[span.read.start : span.read.stop]
    assert len(part) < 20
    np.testing.assert_array_equal(enlarge(part, span), whole[span.offset : span.offset + span.kept])
