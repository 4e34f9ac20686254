"""Reads from the file of an image processor what becomes of an image before the network reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.errors import ModelNotFound, UnsupportedModel
from build.model.json_files import read_object
from manifest import BundleError, PixelInput, Resample

PROCESSOR = "preprocessor_config.json"

FILTERS = {2: Resample.BILINEAR, 3: Resample.BICUBIC}
"""By Pillow's number."""

BICUBIC = 3


@dataclass(frozen=True)
class Processor:
    """What one class of image processors does, and what it takes where its file says nothing."""

    names: tuple[str, ...]
    """Under which it is stored: first today's, and one that resizes with another library where it can."""
    steps: tuple[str, ...]
    """All of them must be on, as they are by default."""
    filters: tuple[int, ...]
    """Pillow's numbers of those that models are known to use."""
    stretches: bool
    """Whether an image is resized to the square itself; otherwise its middle is cropped."""
    mean: tuple[float, ...]
    std: tuple[float, ...]


CLIP = Processor(
    names=("CLIPImageProcessor", "CLIPFeatureExtractor", "CLIPImageProcessorFast"),
    steps=("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"),
    filters=(BICUBIC,),
    stretches=False,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
SIGLIP = Processor(
    names=("SiglipImageProcessor", "SiglipImageProcessorFast"),
    # NOTE: do_convert_rgb is off by default, where the original fails for images in other modes.
    steps=("do_resize", "do_rescale", "do_normalize"),
    filters=(BICUBIC, 2),
    stretches=True,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
PROCESSORS = {processor.names[0]: processor for processor in (CLIP, SIGLIP)}


def read_pixels(folder: Path, wanted: str) -> PixelInput:
    """What the image processor ``wanted`` does.

    Raises ``ModelNotFound`` where there is none, or ``UnsupportedModel`` for one that does something else.
    """
    if not (folder / PROCESSOR).exists():
        raise ModelNotFound(f"{folder.name} has no {PROCESSOR}: how images are read is unknown")
    processor, stored = PROCESSORS[wanted], read_object(folder, PROCESSOR)
    name = stored.get("image_processor_type") or stored.get("feature_extractor_type") or wanted
    if name not in processor.names:
        raise UnsupportedModel(f"{PROCESSOR}: {name} is not supported; it must be {wanted}")
    for step in processor.steps:
        if stored.get(step, True) is not True:
            raise UnsupportedModel(f"{PROCESSOR}: {step} must be true, not {stored[step]}")
    if (resample := stored.get("resample", BICUBIC)) not in processor.filters:
        known = " or ".join(f"{number} ({FILTERS[number]})" for number in processor.filters)
        raise UnsupportedModel(f"{PROCESSOR}: resample must be {known}, not {resample}")
    try:
        pixels = PixelInput(
            *_sides(stored, processor),
            scale=float(stored.get("rescale_factor", 1 / 255)),
            mean=tuple(map(float, stored.get("image_mean") or processor.mean)),
            std=tuple(map(float, stored.get("image_std") or processor.std)),
            resample=FILTERS[resample],
            stretches=processor.stretches,
        )
        pixels.check("pixels")
    except (BundleError, TypeError, ValueError) as error:
        raise UnsupportedModel(f"{PROCESSOR}: {error}") from None
    return pixels


def _sides(stored: dict[str, Any], processor: Processor) -> tuple[int, int]:
    """What the shorter side is resized to, and the side of the square. Raises ``ValueError``."""
    if processor.stretches:
        side = _side(stored.get("size", 224), ("height", "width"))
        return side, side
    return _side(stored.get("size", 224), ("shortest_edge",)), _side(stored.get("crop_size", 224), ("height", "width"))


def _side(value: Any, keys: tuple[str, ...]) -> int:
    """One number, which all ``keys`` of an object must have. Raises ``ValueError``."""
    values = [value.get(key) for key in keys] if isinstance(value, Mapping) and set(value) == set(keys) else [value]
    if type(values[0]) is not int or values.count(values[0]) != len(values):
        raise ValueError(f"a size must be {' and '.join(keys)}, the same number, not {value}")
    return values[0]
