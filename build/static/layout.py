"""Finds which layout a static model's files have, by the files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from build.errors import BuildError
from build.model.files import CONFIG, MODULES, SENTENCE_CONFIG, TOKENIZER, WEIGHTS, tensor_shapes
from build.model.sentence_files import read_modules
from manifest import Reading

OWN_TENSOR = "embeddings"
"""The table's name in model2vec's own files."""

SENTENCE_TENSOR = "embedding.weight"
"""The table's name in sentence-transformers' files."""

STATIC_MODULE = "StaticEmbedding"
STATIC_FOLDER = f"0_{STATIC_MODULE}"


@dataclass(frozen=True)
class Layout:
    """Where a static model's files are, and who reads them how."""

    reading: Reading
    folder: Path
    """The folder of the table and the tokenizer."""

    tensor: str
    """The table's name among the tensors."""

    config: Path
    """The file that ``/meta`` shows as the model's config."""

    is_both: bool = False
    """Whether sentence-transformers would read the same directory its own way."""


def find_layout(directory: Path) -> Layout | None:
    """The layout of the model in ``directory``; None where it is not a static model.

    model2vec's own files decide where there are others too. Without them, modules.json makes it a model of
    sentence-transformers. What is left are older layouts, which model2vec still reads.
    """
    modules = _static_folder(directory)
    if (directory / CONFIG).is_file() and _has_table(directory, OWN_TENSOR):
        return Layout(Reading.MODEL2VEC, directory, OWN_TENSOR, directory / CONFIG, is_both=modules is not None)
    if modules is not None:
        tensor = next((name for name in (SENTENCE_TENSOR, OWN_TENSOR) if _has_table(modules, name)), None)
        return None if tensor is None else Layout(Reading.SENTENCE_TRANSFORMERS, modules, tensor, _config(directory))
    if (directory / SENTENCE_CONFIG).is_file() and not (directory / MODULES).exists():
        for folder in (directory, directory / STATIC_FOLDER):
            if _has_table(folder, SENTENCE_TENSOR):
                return Layout(Reading.MODEL2VEC, folder, SENTENCE_TENSOR, directory / SENTENCE_CONFIG)
    return None


def _static_folder(directory: Path) -> Path | None:
    """The folder of the StaticEmbedding that modules.json begins with."""
    try:
        first = next(iter(read_modules(directory)), None)
    except BuildError:
        return None
    return directory / first.folder if first is not None and first.kind == STATIC_MODULE else None


def _has_table(folder: Path, tensor: str) -> bool:
    """Whether a folder has a tokenizer, and weights with such a tensor."""
    try:
        return (folder / TOKENIZER).is_file() and tensor in tensor_shapes(folder / WEIGHTS)
    except (BuildError, OSError):
        return False


def _config(directory: Path) -> Path:
    """The first that there is: the model's own config, sentence-transformers', the list of modules."""
    names = (CONFIG, SENTENCE_CONFIG)
    return next((directory / name for name in names if (directory / name).is_file()), directory / MODULES)
