"""The models that are measured: of the right layout and family, with words that are one token each."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from bench.clip.models import write_clip
from bench.load.texts import SHORT, endless_texts
from build.clip.describe import describe_clip

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    write_clip(directory, {**SMALL, "vocab_size": 6000}, {**SMALL, "image_size": 32, "patch_size": 8}, projection_dim=8)
    return directory


def test_a_build_knows_the_layout_and_takes_vectors_as_they_are(directory: Path):
    described = describe_clip(directory)
    assert (described.dim, described.text.max_tokens, described.pixels.side) == (8, 77, 32)
    assert not described.layout.normalizes


def test_texts_of_the_load_have_a_token_for_each_word_and_fit(directory: Path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory / "0_CLIPModel")
    for text in itertools.islice(endless_texts(SHORT, "a"), 50):
        tokens = tokenizer.tokenize(text)
        marks = text.count(".")
        assert len(tokens) == len(text.split()) + marks
        assert len(tokenizer(text)["input_ids"]) == len(tokens) + 2 <= 77
