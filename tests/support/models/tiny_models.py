"""Makes tiny random models on disk, with the files that models of each family have on the hub."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.support.json_files import change, write
from tests.support.models.tiny_architectures import save_network
from tests.support.models.tiny_description import HIDDEN, PROMPTS, TinyModel
from tests.support.models.tiny_sentence_files import pooling_config, write_router, write_sentence_files
from tests.support.models.tiny_tokenizers import CHARACTERS, TOKENIZERS, WORD

__all__ = [
    "CHARACTERS",
    "HIDDEN",
    "PROMPTS",
    "TOKENIZERS",
    "WORD",
    "TinyModel",
    "change",
    "copy",
    "make",
    "pooling_config",
    "write",
    "write_sentence_files",
]


@functools.cache
def home() -> tempfile.TemporaryDirectory[str]:
    """The directory of this process's models, which is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="tiny-models-")


@functools.cache
def make(model: TinyModel) -> Path:
    """Return the model's directory, which is made once per process. The same model has the same weights."""
    directory = Path(home().name) / model.name
    directory.mkdir()
    if model.router is not None:
        write_router(directory, model, make)
    else:
        _write_transformer(directory, model)
        if model.pooling is not None:
            write_sentence_files(directory, model)
    for name in model.without:
        (directory / name).unlink()
    return directory


def copy(model: TinyModel, directory: Path) -> Path:
    """Copy the model to a directory that may be changed."""
    return Path(shutil.copytree(make(model), directory))


def _write_transformer(directory: Path, model: TinyModel) -> None:
    tokenizer = TOKENIZERS[model.tokenizer](directory)
    if model.chat_template is not None:
        tokenizer.chat_template = model.chat_template
    save_network(directory, model, tokenizer)
    tokenizer.save_pretrained(directory)
    if model.bake_limits:
        change(directory / "tokenizer.json", _bake_limits)


def _bake_limits(tokenizer: dict[str, Any]) -> None:
    """Add a limit and a fixed length, as many a tokenizer.json on the hub has them."""
    tokenizer["truncation"] = {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    tokenizer["padding"] = {
        "strategy": {"Fixed": 8},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
