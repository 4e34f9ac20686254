from __future__ import annotations

import logging

import pytest

from runtime.images.outline import MOST_BYTES_PER_PIXEL
from runtime.kinds.clip import DEFAULT_MAX_IMAGE_PIXELS, pixel_limit


def test_the_limit_is_the_operators_or_the_default():
    assert pixel_limit(None, 1 << 40) == DEFAULT_MAX_IMAGE_PIXELS
    assert pixel_limit(5, 1 << 40) == 5


@pytest.mark.parametrize("wanted", [None, 80_000_000])
def test_a_limit_that_memory_does_not_allow_is_lowered_with_a_line(
    wanted: int | None, caplog: pytest.LogCaptureFixture
):
    budget = 1000 * MOST_BYTES_PER_PIXEL
    with caplog.at_level(logging.WARNING, "cpu2vec"):
        assert pixel_limit(wanted, budget) == 1000
    assert "MAX_IMAGE_PIXELS is lowered to 1000: " in caplog.text


def test_what_just_fits_is_not_lowered(caplog: pytest.LogCaptureFixture):
    assert pixel_limit(1000, 1000 * MOST_BYTES_PER_PIXEL) == 1000
    assert not caplog.records
