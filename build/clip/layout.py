"""Recognizes the layouts in which CLIP models are stored, by their files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from build.errors import BuildError, UnsupportedModel
from build.model.files import CONFIG, MODULES
from build.model.json_files import read_json, read_object
from build.model.sentence_modules import parse_module

NETWORKS = {"clip": ("CLIPConfig", "CLIPModel"), "metaclip_2": ("MetaClip2Config", "MetaClip2Model")}
"""The classes of transformers that read a config and that run the network, by model type."""

MODULE = "CLIPModel"
"""The name of sentence-transformers' module, behind a package that changed its name over time."""


@dataclass(frozen=True)
class Layout:
    """Where a CLIP model's files are, and whose vectors it has."""

    folder: Path
    """Config, weights, tokenizer and image processor."""
    normalizes: bool
    """Whether vectors have unit length: in transformers' own layout, where only directions are compared."""


def find_layout(directory: Path) -> Layout | None:
    """The layout of the model in ``directory``; None: it is no CLIP model."""
    try:
        if (directory / MODULES).exists():
            modules = read_json(directory, MODULES)
            if not isinstance(modules, list) or not modules or not isinstance(modules[0], dict):
                return None
            first = modules[0]
            if str(first.get("type", "")).rpartition(".")[2] != MODULE:
                return None
            folder = parse_module(str(first["type"]), str(first.get("path", "")), MODULES).folder
            return Layout(directory / folder, normalizes=False)
        if (directory / CONFIG).exists() and read_object(directory, CONFIG).get("model_type") in NETWORKS:
            return Layout(directory, normalizes=True)
    except BuildError:
        return None
    return None


def refuse_more_modules(directory: Path) -> None:
    """Raise ``UnsupportedModel`` where sentence-transformers does more than CLIP's own projection."""
    if (directory / MODULES).exists() and len(modules := read_json(directory, MODULES)) > 1:
        raise UnsupportedModel(f"{MODULES}: {modules[1].get('type')} is not supported after {MODULE}")
