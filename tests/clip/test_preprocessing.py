"""What a network reads of an image is what transformers' image processor makes of it, to the bit."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.image_utils import ChannelDimension
from transformers.models.clip.image_processing_clip import CLIPImageProcessor
from transformers.models.siglip.image_processing_siglip import SiglipImageProcessor

from runtime.images.decoder import FILTERS, decode
from runtime.images.preprocess import Preprocessor
from runtime.images.sniff import read_outline
from sections.pixels import PixelInput, Resample
from tests.support.images.pictures import KINDS, SIZES, Kind, corpus, encoded, noise
from tests.support.images.samples import FOLDER, samples

Processor = CLIPImageProcessor | SiglipImageProcessor

LIMIT = 1 << 26
PROCESSOR = CLIPImageProcessor()
SMALLER_CROP = CLIPImageProcessor(size={"shortest_edge": 57}, crop_size={"height": 40, "width": 40})


TALL_AND_WIDE = ((640, 480), (480, 900), (480, 1000), (1080, 2340), (300, 3000), (100, 4000), (4000, 100))
"""Around where Pillow resizes rows before columns, and far beyond."""

STRETCHING = {
    Resample.BICUBIC: SiglipImageProcessor(),
    Resample.BILINEAR: SiglipImageProcessor(resample=2, size={"height": 256, "width": 256}),
}
"""SigLIP's and SigLIP 2's."""


def wanted(processor: Processor) -> PixelInput:
    if isinstance(processor, SiglipImageProcessor):
        side = processor.size["height"]
        resample = next(name for name, stretching in STRETCHING.items() if stretching is processor)
        numbers = processor.rescale_factor, tuple(processor.image_mean), tuple(processor.image_std)
        return PixelInput(side, side, *numbers, resample, stretches=True)
    return PixelInput(
        processor.size["shortest_edge"],
        processor.crop_size["height"],
        processor.rescale_factor,
        tuple(processor.image_mean),
        tuple(processor.image_std),
    )


def ours(data: bytes, processor: Processor = PROCESSOR) -> np.ndarray:
    preprocessor = Preprocessor(wanted(processor), LIMIT)
    return preprocessor.pixels(preprocessor.outline(base64.b64encode(data).decode()))


def original(data: bytes, processor: Processor = PROCESSOR) -> np.ndarray:
    """The processor says that it guesses which axis has the channels, and guesses wrong for 1 or 3 rows."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        picture.info.pop("transparency", None)  # Pillow would warn of it, and then ignore it
        picture = picture.convert("RGB")  # SigLIP's processor fails for other modes
        pixels = processor(picture, return_tensors="np", input_data_format=ChannelDimension.LAST)["pixel_values"]
    return pixels[0]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_every_mode_and_size_is_read_as_by_the_original(kind: Kind):
    for name, data in corpus(kind):
        np.testing.assert_array_equal(ours(data), original(data), name)


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_the_samples_are_read_as_by_the_original(path: Path):
    data = path.read_bytes()
    np.testing.assert_array_equal(ours(data), original(data))


def test_the_samples_are_those_that_the_program_makes():
    assert {path.name for path in FOLDER.iterdir()} == set(samples())


@pytest.mark.parametrize("size", [(57, 90), (91, 58), (640, 480), (56, 56)])
def test_a_crop_smaller_than_the_short_side(size: tuple[int, int]):
    data = encoded(noise(*size), Kind("RGB", "PNG"))
    expected = original(data, SMALLER_CROP)
    assert expected.shape == (3, 40, 40)
    np.testing.assert_array_equal(ours(data, SMALLER_CROP), expected)


@pytest.mark.parametrize("processor", STRETCHING.values(), ids=[*STRETCHING])
def test_images_are_stretched_as_by_the_original(processor: SiglipImageProcessor):
    for size in [*SIZES, *TALL_AND_WIDE, (1, 9000)]:
        data = encoded(noise(*size), Kind("RGB", "BMP"))
        expected = original(data, processor)
        assert expected.shape == (3, processor.size["height"], processor.size["width"])
        np.testing.assert_array_equal(ours(data, processor), expected, str(size))


@pytest.mark.parametrize("size", TALL_AND_WIDE)
def test_a_tall_or_wide_image_is_read_as_by_the_original(size: tuple[int, int]):
    data = encoded(noise(*size), Kind("RGB", "BMP"))
    np.testing.assert_array_equal(ours(data), original(data))


@given(st.integers(1, 500), st.integers(1, 900), st.integers(1, 60), st.sampled_from([*FILTERS]))
@settings(max_examples=60, deadline=None)
def test_any_image_is_stretched_as_by_pillow(width: int, height: int, side: int, resample: Resample):
    pixels = noise(width, height)
    wanted = PixelInput(side, side, 1.0, (0.0,) * 3, (1.0,) * 3, resample, stretches=True)
    found = decode(read_outline(encoded(pixels, Kind("RGB", "BMP")), LIMIT), wanted)
    expected = Image.fromarray(pixels).resize((side, side), FILTERS[resample])
    np.testing.assert_array_equal(found, np.asarray(expected))


def cubic(distance: float) -> float:
    """Keys' kernel with a = -0.5, as Pillow has it: https://doi.org/10.1109/TASSP.1981.1163711"""
    distance = abs(distance)
    if distance < 1:
        return (1.5 * distance - 2.5) * distance * distance + 1
    if distance < 2:
        return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return 0.0


def enlarged(lines: np.ndarray, first: int, count: int, resized: int) -> np.ndarray:
    """Lines ``first`` to ``first + count`` of (lines, …) enlarged to ``resized`` lines, in 64 bits, rounded to 8."""
    scale = len(lines) / resized
    result = []
    for line in range(first, first + count):
        center = (line + 0.5) * scale
        near = range(max(0, math.floor(center - 2)), min(len(lines), math.ceil(center + 2) + 1))
        weights = np.array([cubic(index + 0.5 - center) for index in near])
        result.append(np.tensordot(weights / weights.sum(), lines[near.start : near.stop].astype(np.float64), 1))
    return np.clip(np.round(result), 0, 255)


def test_an_image_that_the_original_could_hardly_resize():
    """8000 x 3 by its short side is 597333 x 224, of which the middle is computed here in 64 bits."""
    pixels = noise(8000, 3)
    width = 224 * 8000 // 3
    columns = enlarged(pixels.transpose(1, 0, 2), (width - 224) // 2, 224, width).transpose(1, 0, 2)
    square = enlarged(columns, 0, 224, 224).transpose(2, 0, 1)
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (PROCESSOR.image_mean, PROCESSOR.image_std))
    expected = ((square / 255 - mean) / std).astype(np.float32)
    found = ours(encoded(pixels, Kind("RGB", "PNG")))
    grey_levels = np.abs(found - expected) * 255 * std
    assert grey_levels.max() <= 1.001
    assert (grey_levels > 0.001).mean() < 0.01
