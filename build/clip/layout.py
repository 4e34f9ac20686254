"""Recognizes the layouts in which CLIP models are stored, by their files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from build.clip.architectures import ARCHITECTURES, CLIP
from build.clip.refusals import reads_both
from build.errors import BuildError, UnsupportedModel
from build.model.files import CONFIG, MODULES
from build.model.json_files import read_json, read_object
from build.model.sentence_modules import parse_module

MODULE = "CLIPModel"
"""The name of sentence-transformers' module, behind a package that changed its name over time."""


@dataclass(frozen=True)
class Layout:
    """Where a CLIP model's files are, and whose vectors it has."""

    folder: Path
    """Config, weights, tokenizer and image processor."""
    normalizes: bool
    """Whether vectors have unit length: those of some architectures in transformers' own layout."""
    wrapped: bool
    """Whether it is a module of sentence-transformers, which then has the last word about vectors."""

    @property
    def types(self) -> tuple[str, ...]:
        """The model types that may be there: sentence-transformers' module is for one of them alone."""
        return (CLIP,) if self.wrapped else tuple(ARCHITECTURES)


def find_layout(directory: Path) -> Layout | None:
    """The layout of the model in ``directory``, supported or not; None: it does not read texts and images."""
    try:
        if (directory / MODULES).exists():
            modules = read_json(directory, MODULES)
            if not isinstance(modules, list) or not modules or not isinstance(modules[0], dict):
                return None
            first = modules[0]
            if str(first.get("type", "")).rpartition(".")[2] != MODULE:
                return None
            folder = parse_module(str(first["type"]), str(first.get("path", "")), MODULES).folder
            return Layout(directory / folder, normalizes=False, wrapped=True)
        if (directory / CONFIG).exists():
            config = read_object(directory, CONFIG)
            if reads_both(config):
                architecture = ARCHITECTURES.get(str(config.get("model_type")))
                return Layout(directory, architecture is not None and architecture.normalizes, wrapped=False)
    except BuildError:
        return None
    return None


def refuse_more_modules(directory: Path) -> None:
    """Raise ``UnsupportedModel`` where sentence-transformers does more than CLIP's own projection."""
    if (directory / MODULES).exists() and len(modules := read_json(directory, MODULES)) > 1:
        raise UnsupportedModel(f"{MODULES}: {modules[1].get('type')} is not supported after {MODULE}")
