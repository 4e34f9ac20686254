"""Reads from a CLIP model's files everything that its vectors depend on, without loading the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.clip.architectures import ARCHITECTURES, Architecture
from build.clip.layout import Layout, find_layout, refuse_more_modules
from build.clip.processor import PROCESSOR, read_pixels
from build.clip.refusals import refuse_network
from build.errors import UnsupportedModel
from build.model.card import read_licence
from build.model.describe import EncoderSpec, working_memory
from build.model.families import Family
from build.model.files import CONFIG
from build.model.json_files import read_object
from build.model.sentence_modules import LayerSpec, TensorNames
from manifest import Activation, LayerKind, PixelInput, Pooling, PoolingMode, WorkingMemory

FAMILY = Family("clip", ("CLIPModel",))


@dataclass(frozen=True)
class ClipDescription:
    """Everything that a CLIP model's vectors depend on."""

    layout: Layout
    model_type: str
    """A key in ``ARCHITECTURES``."""
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
    refuse_network(stored, layout.types)
    model_type = str(stored["model_type"])
    architecture = ARCHITECTURES[model_type]
    # NOTE: a config leaves out what has its default.
    config = getattr(transformers, architecture.config).from_dict(stored)
    pixels = read_pixels(layout.folder, architecture.processor)
    side = config.vision_config.image_size
    if pixels.side != side:
        raise UnsupportedModel(f"{PROCESSOR} makes images {pixels.side} pixels wide, and the network reads {side}")
    dims = architecture.dims(config)
    if len(set(dims)) > 1:
        raise UnsupportedModel(f"{CONFIG}: vectors of texts and of images have {dims[0]} and {dims[1]} numbers")
    patches = (pixels.side // config.vision_config.patch_size) ** 2 + 1
    return ClipDescription(
        layout=layout,
        model_type=model_type,
        dim=dims[0],
        text=_text_encoder(directory, layout, architecture, config),
        pixels=pixels,
        image_memory=_memory(config.vision_config).of(patches),
        licence=read_licence(directory),
    )


def _text_encoder(directory: Path, layout: Layout, architecture: Architecture, config: Any) -> EncoderSpec:
    text = config.text_config
    below = layout.folder.relative_to(directory).as_posix()
    weight, bias = (f"{architecture.projection}.{name}" for name in ("weight", "bias"))
    names = TensorNames("" if below == "." else below, weight, bias if architecture.projection_bias else None)
    dim = architecture.dims(config)[0]
    projection = LayerSpec(LayerKind.DENSE, text.hidden_size, dim, Activation.IDENTITY, names)
    memory = _memory(text)
    if architecture.pads:
        memory = WorkingMemory(memory.of(text.max_position_embeddings), per_token=0, per_pair=0)
    return EncoderSpec(
        folder=layout.folder,
        family=FAMILY,
        width=text.hidden_size,
        max_tokens=text.max_position_embeddings,
        # NOTE: the token that ends every text sees all others, and is the last one where there is no padding. Where
        # there is, the graph adds it, and has the embedding that is read in the last place.
        pooling=Pooling((PoolingMode.LAST_TOKEN,), include_prompt=True),
        layers=(projection, LayerSpec(LayerKind.NORMALIZE)) if layout.normalizes else (projection,),
        memory=memory,
    )


def _memory(tower: Any) -> WorkingMemory:
    return working_memory(tower.to_dict(), FAMILY, tower.hidden_size)
