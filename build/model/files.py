"""The files of a model directory: which of them a build reads, their content hash, and the size of the weights."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

from build.errors import ModelNotFound, UnsupportedModel
from build.model.json_files import read_object
from build.model.trust import Trust
from build.names import joined
from manifest import Source, sha256_of

CONFIG = "config.json"
MODULES = "modules.json"
ROUTER_CONFIG = "router_config.json"
SENTENCE_CONFIG = "config_sentence_transformers.json"
CARD = "README.md"

TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
VOCABULARIES = ("vocab.txt", "vocab.json", "*.model")
"""transformers makes a tokenizer from one of these files where tokenizer.json is missing."""

WEIGHTS = "model.safetensors"
WEIGHT_SHARDS = "model-*-of-*.safetensors"
PICKLED_WEIGHTS = "pytorch_model.bin"
PICKLED_SHARDS = "pytorch_model-*-of-*.bin"
INDEX = ".index.json"
"""This suffix marks the file that says which shard holds which tensor."""

WEIGHT_FILES = (WEIGHTS, WEIGHT_SHARDS, WEIGHTS + INDEX)
PICKLED_FILES = (PICKLED_WEIGHTS, PICKLED_SHARDS, PICKLED_WEIGHTS + INDEX)

WANTED_AT_TOP = (CARD, MODULES, SENTENCE_CONFIG)
WANTED = (
    *WEIGHT_FILES,
    CONFIG,
    ROUTER_CONFIG,
    "sentence_*_config.json",
    TOKENIZER,
    TOKENIZER_CONFIG,
    "preprocessor_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    *VOCABULARIES,
)
MODULE_FOLDERS = ("[0-9]*_[A-Z]*", "*_[0-9]*_[A-Z]*")
"""Folders of sentence-transformers' modules ("1_Pooling"), and of modules in a Router ("query_0_Transformer")."""

SNAPSHOTS, BLOBS = "snapshots", "blobs"
"""In the hub's cache, a repository's commits are below the first folder, and their files' contents in the second."""

MAX_DEPTH = 2
"""Files of modules are in folders this deep at most: a Router in a folder of its own has its modules' folders there."""

CODE = ("*.py",)

HEADER_LIMIT = 100_000_000
"""The header of a safetensors file has this many bytes at most, by the format's own rule."""

FP32_BYTES = 4

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""A Git LFS pointer begins with this (git-lfs, docs/spec.md)."""


@dataclass(frozen=True)
class ModelFiles:
    """A model on disk."""

    model: str
    """The id in the hub's spelling, or the directory's name."""

    source: Source
    """Where the files are from: the hub's commit, or a hash over the content."""

    directory: Path
    """Where they are."""

    requested_revision: str | None = None
    """The branch, tag or commit that the user asked the hub for; None where the user named none, or needed no hub."""

    code_cache: Path | None = None
    """A cache in the hub's layout with nothing but the code from another repository; None: there is none."""

    of_images: ModelFiles | None = None
    """The model that reads images, where the texts have one of their own; None: there is one model."""

    @property
    def name(self) -> str:
        """What a bundle is called: the model, or both."""
        return self.model if self.of_images is None else joined(self.model, self.of_images.model)


def wanted_files(names: list[str], trust: Trust) -> list[str]:
    """Return the names, sorted, of the files that a build reads.

    Raises ``UnsupportedModel`` where there are no weights, or where a folder has only pickled ones that ``trust`` does
    not allow.
    """
    wanted = {name for name in names if _is_wanted(name, trust.remote_code)}
    safe = {_folder(name) for name in wanted if _matches(name, WEIGHT_FILES)}
    without_pickle = {*safe, *({""} if CONFIG not in names else ())}
    pickled = sorted(
        name
        for name in names
        if _matches(name, PICKLED_FILES) and _is_read(_folder(name)) and _folder(name) not in without_pickle
    )
    if pickled and not trust.pickle:
        raise UnsupportedModel(
            f"the model's weights are pickled ({pickled[0]}), and a pickle can be made to run code: save them with "
            f"safetensors, use a revision that has {WEIGHTS}, or pass --allow-pickle to read them as data only"
        )
    model_folders = {"" if CONFIG in names else _folder(name) for name in wanted if name.endswith(CONFIG)}
    # NOTE: a table of static embeddings has no config beside it.
    model_folders |= {_folder(name) for name in wanted if _matches(name, (TOKENIZER,))}
    if not model_folders & {*safe, *map(_folder, pickled)}:
        raise UnsupportedModel(f"the model has no weights: {WEIGHTS} is missing")
    return sorted({*wanted, *pickled})


def code_files(names: list[str]) -> list[str]:
    """Return the Python files in the top folder."""
    return sorted(name for name in names if not _folder(name) and _matches(name, CODE))


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a transformer's weights: safetensors where they exist, and pickles otherwise."""
    for single, shards in ((WEIGHTS, WEIGHT_SHARDS), (PICKLED_WEIGHTS, PICKLED_SHARDS)):
        if found := [folder / single] if (folder / single).exists() else sorted(folder.glob(shards)):
            return found
    return []


def weights_in_fp32(directory: Path) -> int:
    """Return the bytes of a transformer's weights once they are widened to fp32. Only the files' headers are read.

    Raises ``UnsupportedModel`` for a file that is not what its name says.
    """
    return sum(_bytes_in_fp32(file) for file in weight_files(directory))


def files_below(directory: Path) -> list[str]:
    """Return the names, relative to the directory, of its files down to the depth of modules."""
    found = [path for pattern in ("*", "*/*", "*/*/*") for path in directory.glob(pattern) if path.is_file()]
    return sorted(path.relative_to(directory).as_posix() for path in found)


def config_files(directory: Path) -> list[Path]:
    """Return the configs of a model's transformers and tokenizers."""
    names = [name for name in files_below(directory) if _is_read(_folder(name))]
    return [directory / name for name in names if _matches(name, (CONFIG, TOKENIZER_CONFIG))]


def refuse_pointers(directory: Path, names: list[str]) -> None:
    """Raise ``ModelNotFound`` for a file that git left as a pointer to the file itself."""
    for name in names:
        with (directory / name).open("rb") as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                raise ModelNotFound(f"{name} is a Git LFS pointer: run git lfs pull in the model's directory")


def refuse_outside(directory: Path, names: list[str]) -> None:
    """Raise ``UnsupportedModel`` for a file that is elsewhere on this machine, behind a symbolic link.

    A snapshot of the hub's cache links to the ``blobs`` of its own repository.
    """
    real = directory.resolve()
    allowed = [real]
    if real.parent.name == SNAPSHOTS:
        allowed.append(real.parent.parent / BLOBS)
    for name in names:
        if not any((directory / name).resolve().is_relative_to(folder) for folder in allowed):
            raise UnsupportedModel(
                f"{name} is a link that leads out of the model's directory: put a copy of the file in its place"
            )


def refuse_shards_elsewhere(directory: Path, names: list[str]) -> None:
    """Raise ``UnsupportedModel`` for an index of weights that names a file outside its own folder.

    Raises ``ModelNotFound`` for an index that is not JSON.
    """
    for name in names:
        if name.endswith(INDEX):
            weight_map = read_object(directory, name).get("weight_map")
            if not isinstance(weight_map, dict):
                raise ModelNotFound(f"{name} must have an object weight_map")
            for shard in weight_map.values():
                if not isinstance(shard, str) or not _is_weight_file(shard):
                    raise UnsupportedModel(f"{name} must name shards beside it, and names {shard!r}")


def _is_weight_file(name: str) -> bool:
    """Whether a name is that of weights, without a folder."""
    return "/" not in name and _matches(name, (*WEIGHT_FILES, *PICKLED_FILES))


def content_hash(directory: Path, names: list[str]) -> str:
    """Return ``sha256:`` and a hash over the names and contents of these files alone."""
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{sha256_of(directory / name)}  {name}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _is_wanted(name: str, with_code: bool) -> bool:
    patterns = WANTED if _folder(name) else (*WANTED_AT_TOP, *WANTED, *(CODE if with_code else ()))
    return _is_read(_folder(name)) and _matches(name, patterns)


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _is_read(folder: str) -> bool:
    """Whether a build reads a folder: the top one, those of modules, and those of modules in a Router."""
    parts = folder.split("/") if folder else []
    return len(parts) <= MAX_DEPTH and all(_matches(part, MODULE_FOLDERS) for part in parts)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether the file's own name, without its folders, matches a pattern."""
    return any(fnmatch.fnmatchcase(name.rpartition("/")[2], pattern) for pattern in patterns)


def _bytes_in_fp32(file: Path) -> int:
    # NOTE: what a pickle holds is unknown until it is loaded; most are in fp32.
    return FP32_BYTES * _elements(file) if file.suffix == ".safetensors" else file.stat().st_size


def _elements(file: Path) -> int:
    """Count the numbers that a safetensors file holds. Raises ``UnsupportedModel``."""
    return sum(math.prod(shape) for shape in tensor_shapes(file).values())


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in a safetensors file, by its header alone (safetensors' README, "Format").

    Raises ``UnsupportedModel`` for a file that is not complete.
    """
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > HEADER_LIMIT:
                raise ValueError("not a header")
            header = json.loads(stream.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        if file.stat().st_size < 8 + length + max((entry["data_offsets"][1] for entry in tensors.values()), default=0):
            raise ValueError("cut off")
        return {name: tuple(map(int, entry["shape"])) for name, entry in tensors.items()}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise UnsupportedModel(f"{file.name} is not a complete safetensors file") from None
