"""Reads from a CLIP model's files everything that its vectors depend on, without loading the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.clip.layout import NETWORKS, Layout, find_layout, refuse_more_modules
from build.errors import ModelNotFound, UnsupportedModel
from build.model.card import read_licence
from build.model.describe import EncoderSpec, working_memory
from build.model.families import Family
from build.model.files import CONFIG
from build.model.json_files import read_object
from build.model.sentence_modules import LayerSpec, TensorNames
from manifest import Activation, BundleError, LayerKind, PixelInput, Pooling, PoolingMode

PROCESSOR = "preprocessor_config.json"
PROCESSORS = ("CLIPImageProcessor", "CLIPFeatureExtractor", "CLIPImageProcessorFast")
"""The names under which the same processor is stored; the last one resizes with another library where it can."""

BICUBIC = 3

FAMILY = Family("clip", ("CLIPModel",))

STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb")
"""The processor's steps: all of them must be on, as they are by default."""


@dataclass(frozen=True)
class ClipDescription:
    """Everything that a CLIP model's vectors depend on."""

    layout: Layout
    dim: int
    text: EncoderSpec
    pixels: PixelInput
    image_memory: int
    """The most bytes that a run over one image takes besides weights."""
    licence: str | None


def describe_clip(directory: Path) -> ClipDescription:
    """Raises ``ModelNotFound`` or ``UnsupportedModel``."""
    import transformers

    layout = find_layout(directory)
    if layout is None:
        raise UnsupportedModel("the directory is not a CLIP model's")
    refuse_more_modules(directory)
    stored = read_object(layout.folder, CONFIG)
    model_type = stored.get("model_type", "")
    if model_type not in NETWORKS:
        raise UnsupportedModel(
            f"{CONFIG}: the model_type {model_type} is not supported; it must be {' or '.join(NETWORKS)}"
        )
    # NOTE: a config leaves out what has its default.
    config = getattr(transformers, NETWORKS[model_type][0]).from_dict(stored)
    pixels = read_pixels(layout.folder)
    if pixels.side != config.vision_config.image_size:
        raise UnsupportedModel(
            f"{PROCESSOR} crops images to {pixels.side} pixels, and the network reads {config.vision_config.image_size}"
        )
    patches = (pixels.side // config.vision_config.patch_size) ** 2 + 1
    return ClipDescription(
        layout=layout,
        dim=config.projection_dim,
        text=_text_encoder(directory, layout, config),
        pixels=pixels,
        image_memory=_memory(config.vision_config).of(patches),
        licence=read_licence(directory),
    )


def _text_encoder(directory: Path, layout: Layout, config: Any) -> EncoderSpec:
    text = config.text_config
    below = layout.folder.relative_to(directory).as_posix()
    names = TensorNames("" if below == "." else below, "text_projection.weight", None)
    projection = LayerSpec(LayerKind.DENSE, text.hidden_size, config.projection_dim, Activation.IDENTITY, names)
    return EncoderSpec(
        folder=layout.folder,
        family=FAMILY,
        width=text.hidden_size,
        max_tokens=text.max_position_embeddings,
        # NOTE: the token that ends every text sees all others, and is the last one where there is no padding.
        pooling=Pooling((PoolingMode.LAST_TOKEN,), include_prompt=True),
        layers=(projection, LayerSpec(LayerKind.NORMALIZE)) if layout.normalizes else (projection,),
        memory=_memory(text),
    )


def _memory(tower: Any) -> Any:
    return working_memory(tower.to_dict(), FAMILY, tower.hidden_size)


def read_pixels(folder: Path) -> PixelInput:
    """What the image processor does. Raises ``ModelNotFound``, or ``UnsupportedModel`` for what it does otherwise."""
    if not (folder / PROCESSOR).exists():
        raise ModelNotFound(f"{folder.name} has no {PROCESSOR}: how images are read is unknown")
    stored = read_object(folder, PROCESSOR)
    name = stored.get("image_processor_type") or stored.get("feature_extractor_type") or PROCESSORS[0]
    if name not in PROCESSORS:
        raise UnsupportedModel(f"{PROCESSOR}: {name} is not supported; it must be {PROCESSORS[0]}")
    for step in STEPS:
        if stored.get(step, True) is not True:
            raise UnsupportedModel(f"{PROCESSOR}: {step} must be true, not {stored[step]}")
    if (resample := stored.get("resample", BICUBIC)) != BICUBIC:
        raise UnsupportedModel(f"{PROCESSOR}: resample must be {BICUBIC} (bicubic), not {resample}")
    try:
        pixels = PixelInput(
            short_side=_side(stored.get("size", 224), ("shortest_edge",)),
            side=_side(stored.get("crop_size", 224), ("height", "width")),
            scale=float(stored.get("rescale_factor", 1 / 255)),
            mean=tuple(map(float, stored.get("image_mean") or OPENAI_MEAN)),
            std=tuple(map(float, stored.get("image_std") or OPENAI_STD)),
        )
        pixels.check("pixels")
    except (BundleError, TypeError, ValueError) as error:
        raise UnsupportedModel(f"{PROCESSOR}: {error}") from None
    return pixels


OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
"""What the processor takes where its file has neither."""


def _side(value: Any, keys: tuple[str, ...]) -> int:
    """One number, which all ``keys`` of an object must have. Raises ``ValueError``."""
    values = [value.get(key) for key in keys] if isinstance(value, Mapping) and set(value) == set(keys) else [value]
    if type(values[0]) is not int or values.count(values[0]) != len(values):
        raise ValueError(f"a size must be {' and '.join(keys)}, the same number, not {value}")
    return values[0]
