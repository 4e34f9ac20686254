"""Writes a random XLM-R of bge-m3's size to disk, tensor by tensor: 2.27 GB of weights.

It has half of bge-m3's layers, each of which is as wide, and more words instead: that takes half of the time to build.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from build.fidelity.requests import heldout_texts
from tests.support.models import tiny_models

HIDDEN, LAYERS, HEADS, INTERMEDIATE, VOCABULARY, POSITIONS = 1024, 12, 16, 4096, 397_614, 8194
MAX_SEQ_LENGTH = 8192
WEIGHTS_FP32 = 2_271_019_008
"""All parameters have this many bytes, the unused pooler included."""

CHUNK = 1 << 22
"""This many random numbers are drawn at a time."""


def write_large_model(directory: Path, layers: int = LAYERS, seed: int = 3) -> int:
    """Write the model with sentence-transformers' files (cls, normalized). Return the bytes of its weights in fp32."""
    from transformers import XLMRobertaConfig

    directory.mkdir(parents=True)
    tokenizer = tiny_models.TOKENIZERS["xlm-roberta"](directory)
    tokenizer.model_max_length = MAX_SEQ_LENGTH
    config = XLMRobertaConfig(
        architectures=["XLMRobertaModel"],
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        intermediate_size=INTERMEDIATE,
        max_position_embeddings=POSITIONS,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    tiny_models.write_sentence_files(
        directory,
        tiny_models.TinyModel(
            "large",
            "xlm-roberta",
            "xlm-roberta",
            "XLMRobertaModel",
            pooling="cls",
            normalize=True,
            max_seq_length=MAX_SEQ_LENGTH,
        ),
    )
    tiny_models.change(directory / "1_Pooling" / "config.json", _widen)
    tiny_models.change(directory / "tokenizer.json", _learn_words)
    with (directory / "model.safetensors").open("wb") as file:
        return _write_weights(file, _shapes(config), np.random.default_rng(seed))


def _widen(pooling: dict[str, Any]) -> None:
    pooling["word_embedding_dimension"] = HIDDEN


def _learn_words(tokenizer: dict[str, Any]) -> None:
    """Add whole words, as a vocabulary of this size has. Letter by letter, texts would be four times as long."""
    words = {f"▁{word}": None for text in heldout_texts() for word in text.split()}
    tokenizer["model"]["vocab"] += [[word, -5.0] for word in words]


def _shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Return name and shape of each parameter, from transformers' own class on the meta device."""
    import torch
    from transformers import XLMRobertaModel

    with torch.device("meta"):
        network = XLMRobertaModel(config)
    return {name: tuple(weight.shape) for name, weight in network.named_parameters()}


def _write_weights(file: IO[bytes], shapes: dict[str, tuple[int, ...]], random: np.random.Generator) -> int:
    """Write a safetensors file: the header's length, the header, the tensors (safetensors' README, "Format")."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name, shape in shapes.items():
        for values in _values(name, shape, random):
            file.write(values.data)
    return end


def _values(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw values that keep activations in range through all layers: products of variance 1, gains about 1."""
    norm, matrix = "LayerNorm" in name, len(shape) == 2
    scale = shape[-1] ** -0.5 if matrix and "embeddings" not in name else 0.05
    left = math.prod(shape)
    while left:
        values = random.standard_normal(min(left, CHUNK), dtype=np.float32) * np.float32(scale)
        yield values + np.float32(1) if norm and name.endswith("weight") else values
        left -= len(values)
