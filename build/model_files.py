"""Knows which files of a model directory matter, and gives such a directory a content hash."""

from __future__ import annotations

import fnmatch
import hashlib
from dataclasses import dataclass
from pathlib import Path

from build.errors import UnsupportedModel
from manifest import Source, sha256_of

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
PICKLED_WEIGHTS = ("pytorch_model.bin", "pytorch_model-*-of-*.bin")
WANTED = (
    *WEIGHTS,
    CONFIG,
    "README.md",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_*_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
    "[0-9]_*/config.json",
    "[0-9]_*/model.safetensors",
)
CODE = ("*.py",)


@dataclass(frozen=True)
class ModelFiles:
    """A model on disk: the hub's spelling of its id, or the directory's name; where it came from."""

    model: str
    source: Source
    directory: Path


def wanted_files(names: list[str], with_code: bool) -> list[str]:
    """The names, sorted, of the files that a build reads. Raises ``UnsupportedModel`` without safe weights."""
    patterns = WANTED + CODE if with_code else WANTED
    wanted = [name for name in names if any(_matches(name, pattern) for pattern in patterns)]
    if not any(_matches(name, pattern) for name in wanted for pattern in WEIGHTS):
        if any(_matches(name, pattern) for name in names for pattern in PICKLED_WEIGHTS):
            raise UnsupportedModel(
                "the model's weights are pickled (pytorch_model.bin), and loading a pickle can run code: "
                "save it with safetensors, or use a revision that has model.safetensors"
            )
        raise UnsupportedModel("the model has no weights: model.safetensors is missing")
    return sorted(wanted)


def files_below(directory: Path) -> list[str]:
    """Names, relative to ``directory``, of the files in it and in its direct subdirectories."""
    found = [path for pattern in ("*", "*/*") for path in directory.glob(pattern) if path.is_file()]
    return sorted(path.relative_to(directory).as_posix() for path in found)


def content_hash(directory: Path, names: list[str]) -> str:
    """``sha256:`` and a hash over the names and contents of the files, whatever else lies beside them."""
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{sha256_of(directory / name)}  {name}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatch.fnmatchcase(name, pattern)
