"""Reads and edits the files of sentence-transformers in a test's directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from build.model.sentence_files import read_sentence_files
from build.model.sentence_modules import LayerSpec, ModuleChain
from manifest import ONLY_ENCODER, LayerKind, PoolingMode
from tests.support.json_files import change, write


def chain_of(directory: Path) -> ModuleChain:
    """Read the only chain of a directory without a Router."""
    files = read_sentence_files(directory)
    assert (list(files.chains), files.routes, files.default) == ([ONLY_ENCODER], {}, ONLY_ENCODER)
    return files.chains[ONLY_ENCODER]


def modes_of(directory: Path) -> tuple[PoolingMode, ...]:
    """Read the pooling modes of the only chain."""
    return chain_of(directory).pooling.modes


NORMALIZE = LayerSpec(LayerKind.NORMALIZE)
DENSE = {"in_features": 32, "out_features": 8, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}


def add_module(directory: Path, kind: str, config: dict[str, Any] | None = None) -> None:
    """Append a module to modules.json, and write its config."""
    change(directory / "modules.json", lambda modules: modules.append(module(kind, f"3_{kind}")))
    if config is not None:
        write(directory / f"3_{kind}/config.json", config)


def module(kind: str, path: str = "3_More", home: str = "sentence_transformers.models") -> dict[str, Any]:
    """Return an entry of modules.json."""
    return {"idx": 3, "name": "3", "path": path, "type": f"{home}.{kind}"}


def dense_config(**values: Any) -> dict[str, Any]:
    """Return the config of a Dense module with other values."""
    return DENSE | values
