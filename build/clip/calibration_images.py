"""Images that calibration shows to an image tower: drawn as those of verification are, and none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPImageProcessor
from transformers.image_utils import ChannelDimension

from build.clip.drawings import drawing, size_of

FIRST_SEED = 1000
"""Verification's images have lower ones."""

MAX_IMAGES = 128


def calibration_pixels(folder: Path, tokens: int, max_tokens: int) -> list[NDArray[np.float32]]:
    """What the network reads of each image, (3, side, side): as many as have ``max_tokens``, ``tokens`` each."""
    processor: Any = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
    count = min(MAX_IMAGES, max(1, max_tokens // tokens))
    return [_read(processor, number) for number in range(count)]


def _read(processor: Any, number: int) -> NDArray[np.float32]:
    image = Image.fromarray(drawing(FIRST_SEED + number, *size_of(number)))
    read = processor(image, return_tensors="np", input_data_format=ChannelDimension.LAST)
    pixels: NDArray[np.float32] = read["pixel_values"][0].astype(np.float32)
    return pixels
