"""Both towers of a tiny CLIP model: as exported graphs, as native ones, and what the original computes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from build.clip.export import IMAGE, TEXT, export_towers, load_network
from build.graph.external_data import externalize_weights, load_graph
from build.graph.index import GraphIndex
from build.kinds.clip_towers import Tower, match_image_tower, match_text_tower
from build.model.trust import NO_TRUST
from build.progress import silence_libraries
from tests.support.graphs.native_graphs import scratch_directory
from tests.support.models.tiny_clip import SIDE, make_network

TEXT_LENGTHS = (7, 20, 1, 18, 3)

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """A model, its exported graphs in fp32, and its config."""

    network: Any
    config: Any
    graphs: dict[str, Path]

    @property
    def end(self) -> int:
        end: int = self.config.text_config.eos_token_id
        return end

    def index(self, name: str) -> GraphIndex:
        return GraphIndex(load_graph(self.graphs[name]), self.graphs[name].parent)

    def match(self, name: str, index: GraphIndex) -> Any:
        """Raises ``NotNative``."""
        if name == TEXT:
            return match_text_tower(index, self.config.text_config, self.end)
        return match_image_tower(index, self.config.vision_config)

    def tower(self, name: str) -> Tower:
        """The tower, matched."""
        return Tower(name, self.graphs[name]).matched(lambda index: self.match(name, index))

    def texts(self, lengths: tuple[int, ...] = TEXT_LENGTHS) -> list[NDArray[np.int64]]:
        """Random ids, each with the end as its last token."""
        rng = np.random.default_rng(1)
        return [np.append(rng.integers(0, self.end - 1, length - 1), self.end) for length in lengths]

    def text_states(self, texts: list[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
        """The original's embeddings of all tokens of each text."""
        with torch.inference_mode():
            return [self.network.text_model(torch.tensor(ids[None])).last_hidden_state[0].numpy() for ids in texts]

    def image_vectors(self, pixels: Pixels) -> Pixels:
        """The original's vectors of images, (images, 3, side, side) to (images, dim)."""
        with torch.inference_mode():
            vectors: Pixels = self.network.get_image_features(torch.tensor(pixels)).numpy()
        return vectors


@functools.cache
def clip(seed: int = 0, **vision: Any) -> Clip:
    """A model whose norms and biases are random, too: in a new model they have no effect."""
    name = f"clip-{seed}-{'-'.join(f'{key}-{value}' for key, value in vision.items())}"
    directory, work = (Path(scratch_directory().name) / f"{name}-{part}" for part in ("model", "graphs"))
    make_network(directory, seed, **vision)
    network = load_network(directory, NO_TRUST)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1 and len(parameter):
                parameter += 0.2 * torch.randn_like(parameter)
            elif parameter.ndim > 1:
                parameter *= 3
    network.save_pretrained(directory)
    with silence_libraries():
        exported = export_towers(directory, work, NO_TRUST)
    graphs = {tower: externalize_weights(graph, graph.parent) for tower, graph in exported.items()}
    return Clip(network, network.config, graphs)


def sample_pixels(count: int, seed: int = 1, side: int = SIDE) -> Pixels:
    """Noise of three sizes, so that neighbors are alike as they are in images."""
    rng = np.random.default_rng(seed)
    parts = [np.kron(rng.normal(size=(count, 3, side // n, side // n)), np.ones((n, n))) for n in (1, 4, 16)]
    return np.sum(parts, axis=0).astype(np.float32)


NAMES = (TEXT, IMAGE)
