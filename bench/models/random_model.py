"""Writes a BERT of a real size with random weights: ``python -m bench.models.random_model --help``."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.command_line import EXIT_FAILED, fail, parser_for
from build.model.default_model import fetch_from_package

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
SEED = 7

OUTLIERS, GAIN, SURGE = 6, 15.0, 20.0
"""Trained models have a few channels that are much larger than the others, and neurons that fire at one token."""


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
"""The shapes are those of bge-small, bge-base and bge-large."""

EPILOG = f"""\
Times depend on a model's shape, not on its weights, so that such a model can be timed without a download:

  .venv/build/bin/python -m bench.models.random_model /tmp/random --shape base --outliers
  .venv/build/bin/python -m bench.models --model /tmp/random

shapes:
{chr(10).join(f"  {name:<8}{shape.layers} layers of width {shape.width}" for name, shape in SHAPES.items())}
"""


def write_model(directory: Path, shape: Shape, outliers: bool) -> None:
    """A model directory with the default model's tokenizer. The same arguments give the same weights."""
    # PERF: imported here because torch takes seconds to load, and a wrong option should be reported at once.
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
    """Enlarge the gains of a few channels in each norm, and one neuron of each layer that the first token drives."""
    with torch.no_grad():
        for layer in network.encoder.layer:
            for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm):
                norm.weight[torch.randperm(len(norm.weight))[:OUTLIERS]] *= GAIN
        for layer in network.encoder.layer:
            layer.intermediate.dense.weight[0] *= SURGE


def main(arguments: list[str]) -> int:
    parser = parser_for("bench.models.random_model", "Write a BERT of a real size with random weights.", EPILOG)
    parser.add_argument("directory", type=Path, help="the model's directory, which must not exist")
    parser.add_argument("--shape", choices=SHAPES, default="base", help="see below (default: base)")
    parser.add_argument("--outliers", action="store_true", help="with channels and neurons as large as trained ones")
    options = parser.parse_args(arguments)
    if options.directory.exists():
        return fail(f"{options.directory} exists already", EXIT_FAILED)
    options.directory.mkdir(parents=True)
    write_model(options.directory, SHAPES[options.shape], options.outliers)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
