"""The images of ``make compare``: a directory's, or drawings that every decoder reads as they are."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from build.clip.drawings import COUNT, drawing, size_of
from build.compare.towers.images import LARGEST_BYTES, own_images, png_of
from build.errors import NoImages
from tests.support.images.samples import FOLDER, SAMPLES

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))


@given(pixels=arrays(np.uint8, SHAPES))
def test_a_png_has_the_pixels_that_were_drawn(pixels: np.ndarray):
    with Image.open(io.BytesIO(png_of(pixels))) as picture:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_without_a_directory_there_are_drawings():
    own = own_images(None)
    assert (len(own.images), own.repeated, own.source) == (COUNT, 0, "drawn by this project")
    assert len({image.read() for image in own.images}) == COUNT
    for number in (0, 3):
        with Image.open(io.BytesIO(base64.b64decode(own.images[number].base64))) as picture:
            np.testing.assert_array_equal(np.asarray(picture), drawing(number, *size_of(number)))


def test_a_directorys_images_are_sent_as_they_are_in_the_order_of_their_names():
    own = own_images(FOLDER)
    assert [image.name for image in own.images] == [path.name for path in SAMPLES]
    assert [base64.b64decode(image.base64) for image in own.images] == [path.read_bytes() for path in SAMPLES]
    assert own.source == f"of {FOLDER}"


def test_equal_images_and_other_files_are_left_out(tmp_path: Path):
    for name, data in (("b.PNG", b"one"), ("a.jpg", b"one"), ("c.webp", b"two"), ("notes.txt", b"three")):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.png").mkdir()
    own = own_images(tmp_path)
    assert [image.name for image in own.images] == ["a.jpg", "c.webp"]
    assert own.repeated == 1


def test_a_directory_that_is_none_or_has_too_few_images_is_an_error(tmp_path: Path):
    with pytest.raises(NoImages, match="missing cannot be read: No such file or directory"):
        own_images(tmp_path / "missing")
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"one")
    with pytest.raises(NoImages, match=r"must have at least 2 different images \(.jpg, .*\), not 1"):
        own_images(tmp_path)


def test_a_file_that_no_request_could_carry_is_an_error(tmp_path: Path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    with pytest.raises(NoImages, match=f"a.jpg has {LARGEST_BYTES + 1} bytes; an image may have {LARGEST_BYTES}"):
        own_images(tmp_path)
