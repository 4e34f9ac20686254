from __future__ import annotations

import base64
import io
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from runtime.images.decoder import OPENERS, decode
from runtime.images.outline import Outline
from runtime.images.preprocess import Preprocessor
from runtime.images.refusals import BadImage, Broken
from runtime.images.sniff import read_outline
from runtime.settings import MOST_IMAGE_PIXELS
from sections.pixels import PixelInput
from tests.support.images.inputs import cropped
from tests.support.images.pictures import Kind, animation, encoded, gradient, noise
from tests.support.paths import DATA

LIMIT = 1 << 26
SQUARE = cropped(32)
SAMPLES = sorted((DATA / "images").iterdir())
FILES = [path.read_bytes() for path in SAMPLES]


def square(data: bytes) -> np.ndarray:
    return decode(read_outline(data, LIMIT), SQUARE)


def read_or_refused(data: bytes) -> None:
    try:
        result = decode(read_outline(data, 1 << 20), SQUARE)
    except BadImage as error:
        refusal = str(error)
    else:
        assert result.shape == (32, 32, 3)
        return
    assert refusal.startswith(("is ", "has ", "must "))


def test_there_are_samples_of_every_format():
    assert {read_outline(data, LIMIT).format for data in FILES} == set(OPENERS)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_outlines_have_the_size_that_the_decoder_finds(path: Path):
    outline = read_outline(path.read_bytes(), LIMIT)
    with Image.open(path) as picture:
        assert {outline.width, outline.height} == set(picture.size)
        assert outline.memory >= 2 * len(picture.tobytes())


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_alone_is_decoded(format: str):
    many = animation(format, 300, 16, 12)
    outline = read_outline(many, LIMIT)
    assert outline.pixels == 16 * 12
    np.testing.assert_array_equal(square(many), square(animation(format, 2, 16, 12)))


def test_what_an_animated_png_has_after_its_first_frame_is_not_even_kept():
    assert len(read_outline(animation("PNG", 300, 16, 12), LIMIT).data) < 1000


def test_exif_does_not_turn_an_image():
    turned = (DATA / "images/asks-to-be-turned.jpg").read_bytes()
    upright = (DATA / "images/baseline.jpg").read_bytes()
    np.testing.assert_array_equal(square(turned), square(upright))


def test_alpha_is_dropped_and_not_blended():
    opaque = noise(40, 40)
    clear = np.dstack([opaque, np.zeros((40, 40), np.uint8)])
    file = encoded(opaque, Kind("RGB", "PNG"))
    buffer = io.BytesIO()
    Image.fromarray(clear).save(buffer, "PNG")
    np.testing.assert_array_equal(square(buffer.getvalue()), square(file))


def test_sides_of_an_odd_header_must_agree_with_the_picture():
    outline = read_outline(FILES[0], LIMIT)
    wrong = Outline(outline.format, outline.width + 1, outline.height, outline.parts)
    with pytest.raises(Broken, match="its parts do not agree on its size"):
        decode(wrong, SQUARE)


def test_pillow_itself_refuses_nothing_within_the_largest_limit():
    assert MOST_IMAGE_PIXELS == Image.MAX_IMAGE_PIXELS


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FILES), st.data())
def test_a_damaged_file_is_read_or_refused(data: bytes, draws: st.DataObject):
    """Nothing else can come out, whatever is wrong with it."""
    damaged = bytearray(data)
    for _ in range(draws.draw(st.integers(1, 8))):
        damaged[draws.draw(st.integers(0, len(damaged) - 1))] = draws.draw(st.integers(0, 255))
    del damaged[draws.draw(st.integers(1, len(damaged))) :]
    read_or_refused(bytes(damaged))


@settings(max_examples=300)
@given(st.sampled_from([data[:24] for data in FILES]), st.binary(max_size=200))
def test_anything_behind_a_good_beginning_is_read_or_refused(start: bytes, rest: bytes):
    read_or_refused(start + rest)


def test_concurrent_images_do_not_mix():
    expected = [square(data) for data in FILES]
    found: list[list[np.ndarray]] = [[] for _ in range(4)]

    def work(results: list[np.ndarray]) -> None:
        results += [square(data) for data in FILES]

    threads = [threading.Thread(target=work, args=[results]) for results in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results in found:
        np.testing.assert_array_equal(results, expected)


def test_pixels_are_scaled_and_normalized_by_channel():
    wanted = PixelInput(8, 8, 1 / 255, (0.1, 0.2, 0.3), (0.5, 0.25, 2.0))
    preprocessor = Preprocessor(wanted, LIMIT)
    data = encoded(gradient(8, 8), Kind("RGB", "PNG"))
    pixels = preprocessor.pixels(preprocessor.outline(base64.b64encode(data).decode()))
    expected = (gradient(8, 8) / 255 - wanted.mean) / wanted.std
    assert (pixels.shape, pixels.dtype) == ((3, 8, 8), np.float32)
    np.testing.assert_allclose(pixels, expected.transpose(2, 0, 1), rtol=1e-6, atol=1e-6)
