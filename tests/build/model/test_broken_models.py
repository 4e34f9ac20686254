"""Broken model directories: each is refused by a sentence that names the file or the key."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build.errors import BuildError
from build.pipeline import BuildOptions, build_bundle
from build.progress import Progress
from manifest import Precision, Target
from tests.support.models import tiny_models
from tests.support.models.tiny_description import Dense, TinyModel
from tests.support.models.tiny_models import change

WHOLE = TinyModel("to-be-broken", "bert", "bert", "BertModel", layers=(Dense(16),), shard_size="20KB")
DENSE = "2_Dense"
PROMPTS = "config_sentence_transformers.json"

Spoil = Callable[[Path], Any]


def cut_off(name: str, kept: float = 0.5) -> Spoil:
    def spoil(directory: Path) -> None:
        content = (directory / name).read_bytes()
        (directory / name).write_bytes(content[: int(len(content) * kept)])

    return spoil


def without(*names: str) -> Spoil:
    def spoil(directory: Path) -> None:
        for name in names:
            (directory / name).unlink()

    return spoil


def edited(name: str, **values: Any) -> Spoil:
    return lambda directory: change(directory / name, lambda config: config.update(values))


def pointer(pattern: str) -> Spoil:
    """What git leaves of a large file where Git LFS is not installed."""

    def spoil(directory: Path) -> None:
        path = next(directory.glob(pattern))
        content = path.read_bytes()
        path.write_text(
            "version https://git-lfs.github.com/spec/v1\n"
            f"oid sha256:{hashlib.sha256(content).hexdigest()}\nsize {len(content)}\n"
        )

    return spoil


def without_a_shard(directory: Path) -> None:
    sorted(directory.glob("model-*.safetensors"))[1].unlink()


def with_a_shard_cut_off(directory: Path) -> None:
    shard = sorted(directory.glob("model-*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])


def without_weights(directory: Path) -> None:
    for path in [*directory.glob("model-*.safetensors"), directory / "model.safetensors.index.json"]:
        path.unlink()


BROKEN: dict[str, tuple[Spoil, str]] = {
    "config.json is missing": (without("config.json"), "has no config.json"),
    "config.json is cut off": (cut_off("config.json"), "config.json is not JSON"),
    "config.json has no heads": (
        edited("config.json", num_attention_heads=None),
        "num_attention_heads must be a whole number, not null",
    ),
    "config.json names another architecture": (
        edited("config.json", architectures=["BertForSequenceClassification"]),
        "the architecture BertForSequenceClassification is not supported",
    ),
    "config.json does not fit": (edited("config.json", vocab_size=5), "transformers cannot load the model"),
    "weights are missing": (without_weights, "model.safetensors is missing"),
    "a shard is missing": (without_a_shard, "model-00002-of"),
    "a shard is cut off": (with_a_shard_cut_off, "model-00002-of"),
    "a shard is a pointer": (pointer("model-00002-of-*.safetensors"), "model-00002-of.* is a Git LFS pointer: run git"),
    "the tokenizer is a pointer": (pointer("tokenizer.json"), "tokenizer.json is a Git LFS pointer"),
    "a layer's weights are a pointer": (
        pointer(f"{DENSE}/model.safetensors"),
        f"{DENSE}/model.safetensors is a Git LFS pointer",
    ),
    "the tokenizer is missing": (
        without("tokenizer.json", "vocab.txt"),
        r"has neither tokenizer.json nor a vocabulary \(vocab.txt, vocab.json, \*.model\): it has no tokenizer",
    ),
    "the tokenizer is cut off": (cut_off("tokenizer.json"), "tokenizer.json is not JSON"),
    "the tokenizer's config is cut off": (cut_off("tokenizer_config.json"), "tokenizer_config.json is not JSON"),
    "modules.json is cut off": (cut_off("modules.json"), "modules.json is not JSON"),
    "modules.json is missing": (without("modules.json"), "modules.json does not: the sentence-transformers files"),
    "pooling's config is missing": (without("1_Pooling/config.json"), "has no 1_Pooling/config.json"),
    "pooling's mode is unknown": (edited("1_Pooling/config.json", pooling_mode="median"), "the pooling mode median"),
    "the window is no number": (
        edited("sentence_bert_config.json", max_seq_length="48"),
        'max_seq_length must be a positive whole number, not "48"',
    ),
    "prompts are cut off": (cut_off(PROMPTS), f"{PROMPTS} is not JSON"),
    "a layer's config is missing": (without(f"{DENSE}/config.json"), f"has no {DENSE}/config.json"),
    "a layer's weights are missing": (without(f"{DENSE}/model.safetensors"), f"{DENSE} has no tensor linear.weight"),
    "a layer's weights are cut off": (cut_off(f"{DENSE}/model.safetensors"), f"{DENSE} has no tensor linear.weight"),
    "a layer is of another shape": (
        edited(f"{DENSE}/config.json", out_features=7),
        rf"{DENSE}/linear.weight must have the shape \(7, 32\) of the layer's config, not \(16, 32\)",
    ),
    "a layer takes another width": (
        edited(f"{DENSE}/config.json", in_features=8),
        f"{DENSE}: the layer accepts 8 components, but receives 32",
    ),
}


@pytest.mark.parametrize("defect", BROKEN)
def test_a_broken_directory_is_refused_by_name(tmp_path: Path, defect: str):
    spoil, message = BROKEN[defect]
    directory = tiny_models.copy(WHOLE, tmp_path / "model")
    spoil(directory)
    order = BuildOptions(str(directory), None, Target.AMD64, Precision.FP32, tmp_path / "bundle", force=False)
    with pytest.raises(BuildError, match=message) as caught:
        build_bundle(order, Progress(stream=io.StringIO()))
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
