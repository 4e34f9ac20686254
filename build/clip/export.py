"""Exports both towers of a CLIP model as ONNX graphs in fp32."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from build.clip.architectures import ARCHITECTURES
from build.clip.patch_product import with_patch_product
from build.clip.tokenizer import load_tokenizer
from build.errors import UnsupportedModel, first_line
from build.host.malloc import leave_imports_uncollected, release_free_memory
from build.model.files import CONFIG, TOKENIZER_CONFIG
from build.model.json_files import read_object
from build.model.trust import Trust
from build.pytorch.export import OPSET, OUTPUT

TEXT, IMAGE = "text", "image"
"""The names of the graphs."""

VECTORS = "vectors"
PIXELS = "pixel_values"
IDS = "input_ids"

FORMER_MODEL = "clip"
FORMER_END = 2
"""The end of a text in the configs of older models, whose ends are not there."""


class TextTower(torch.nn.Module):
    """Ids of tokens to embeddings of tokens; the projection follows pooling.

    The original reads a text up to the first token that ends one, which a text may have within it. That token's
    embedding stands in the place of all that follow, so that the last one is the original's.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.former = network.config.model_type == FORMER_MODEL

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        embeddings = self.network.text_model(input_ids=input_ids).last_hidden_state
        end = self.network.config.text_config.eos_token_id
        # NOTE: CLIP's models of before 2023 say 2, which is not their end; it is the largest of ids there.
        ends = input_ids if self.former and end == FORMER_END else (input_ids == end).to(input_ids.dtype)
        positions = torch.arange(input_ids.shape[1])[None]
        read = torch.minimum(positions, ends.argmax(dim=-1, keepdim=True))[..., None]
        return embeddings.gather(1, read.expand(-1, -1, embeddings.shape[-1]))


class PaddedTextTower(torch.nn.Module):
    """The same for a network that reads every text padded to its limit, from the last position.

    The embedding there stands in the place of all tokens, of which the runtime reads the last one.
    """

    def __init__(self, network: Any, padding: int) -> None:
        """``padding``: the id of the token that a text is padded with."""
        super().__init__()
        self.network = network
        self.padding = torch.full((1, network.config.text_config.max_position_embeddings), padding)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        texts, tokens = input_ids.shape
        length = self.padding.shape[1]
        padded = torch.cat([input_ids, self.padding.expand(texts, -1)], dim=1)[:, :length]
        last = self.network.text_model(input_ids=padded).last_hidden_state[:, -1:]
        return last.expand(-1, tokens, -1)


class ImageTower(torch.nn.Module):
    """Pixels to vectors."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.network.get_image_features(pixel_values=pixel_values)


def load_network(folder: Path, trust: Trust) -> Any:
    """The network in fp32. Raises ``UnsupportedModel`` where weights are missing or cannot be loaded."""
    try:
        architecture = ARCHITECTURES[read_object(folder, CONFIG)["model_type"]]
        network, loading = getattr(transformers, architecture.network).from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            local_files_only=True,
            use_safetensors=trust.use_safetensors,
            output_loading_info=True,
        )
    except Exception as error:  # NOTE: SafetensorError has no other base, and a malformed config can raise anything.
        raise UnsupportedModel(f"transformers cannot load the model: {first_line(error)}") from error
    if missing := sorted(loading["missing_keys"]):
        raise UnsupportedModel(f"the weights lack {missing[0]}: the model is incomplete")
    return network.float().eval()


def export_towers(folder: Path, work: Path, trust: Trust, names: Collection[str] = (TEXT, IMAGE)) -> dict[str, Path]:
    """Write a graph for each of the towers ``names`` below ``work``, and return their paths by name."""
    leave_imports_uncollected()
    network = load_network(folder, trust)
    graphs = {}
    if TEXT in names:
        ids = torch.tensor([[0, 1, 0, 1, 0]])
        graphs[TEXT] = _export(_text_tower(network, folder), ids, work / TEXT, (IDS, OUTPUT), {0: "texts", 1: "tokens"})
    if IMAGE in names:
        side = network.config.vision_config.image_size
        pixels = torch.zeros(1, 3, side, side)
        with_patch_product(network.vision_model.embeddings)
        graphs[IMAGE] = _export(ImageTower(network), pixels, work / IMAGE, (PIXELS, VECTORS), {0: "images"})
    del network
    # PERF: the exporter leaves reference cycles, which would keep the weights during later stages.
    release_free_memory()
    return graphs


def _text_tower(network: Any, folder: Path) -> torch.nn.Module:
    """Raises ``UnsupportedModel`` for a tokenizer without the padding that the network needs."""
    if not ARCHITECTURES[network.config.model_type].pads:
        return TextTower(network)
    padding = load_tokenizer(folder).pad_token_id
    if padding is None:
        raise UnsupportedModel(f"{TOKENIZER_CONFIG}: there is no pad_token, and texts are padded to the limit")
    return PaddedTextTower(network, padding)


def _export(
    tower: torch.nn.Module, example: torch.Tensor, work: Path, names: tuple[str, str], axes: Mapping[int, str]
) -> Path:
    work.mkdir(parents=True)
    path = work / "model.onnx"
    source, made = names
    with warnings.catch_warnings(), torch.inference_mode():
        # NOTE: it warns of itself, and of each comparison of lengths that the trace takes as it is.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            tower,
            (example,),
            path,
            opset_version=OPSET,
            dynamo=False,
            input_names=[source],
            output_names=[made],
            dynamic_axes={source: dict(axes), made: dict(axes)},
        )
    return path
