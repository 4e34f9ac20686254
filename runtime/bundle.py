"""Opens a bundle for serving: everything that the runtime reads from disk, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from manifest import (
    CONFIG_FILE,
    GOLDEN_FILE,
    BundleError,
    Golden,
    Graph,
    Kind,
    Manifest,
    check_files,
    from_json,
    read_manifest,
    read_text,
)

HASHED_BELOW_BYTES = 100_000_000
"""At start, content is hashed only in bundles below this size; larger ones are hashed when the image is built."""

SESSIONS = 2
"""Of each graph: one with a single thread, and one with all."""


@dataclass(frozen=True)
class Bundle:
    """What has been read from a bundle's directory."""

    directory: Path
    manifest: Manifest
    golden: Golden
    config: dict[str, Any]


def open_bundle(directory: Path) -> Bundle:
    """Read and check the bundle. Raises ``BundleError`` that names what is wrong."""
    if not directory.is_dir():
        raise BundleError(
            f"{directory} is not a directory: set BUNDLE_DIR to a bundle made by quantize.py, or mount one there "
            f'(docker run --volume "$PWD/bundle:{directory}:ro")'
        )
    manifest = read_manifest(directory)
    _require_engine(manifest)
    size = sum(entry.size for entry in manifest.files.values())
    check_files(directory, manifest, hashes=size < HASHED_BELOW_BYTES)
    return Bundle(
        directory=directory,
        manifest=manifest,
        golden=from_json(Golden, read_text(directory, GOLDEN_FILE), GOLDEN_FILE),
        config=_read_object(directory, CONFIG_FILE),
    )


def _require_engine(manifest: Manifest) -> None:
    """Raise ``BundleError`` for a bundle with graphs where nothing can run them."""
    if find_spec("onnxruntime") is None and any(name.endswith(".onnx") for name in manifest.files):
        raise BundleError(
            f"this image serves bundles of kind {Kind.STATIC} alone, and this one is of kind {manifest.kind}: "
            "serve it with cpu2vec-runtime"
        )


def copied_bytes(bundle: Bundle, graphs: Iterable[Graph]) -> int:
    """The most that a process copies of the weights: onnxruntime packs those of its own ops, once for each session.

    Native ops read the file as it is mapped.
    """
    files = bundle.manifest.files
    return sum(SESSIONS * files[graph.weights].size for graph in graphs if graph.ops is None)


def _read_object(directory: Path, name: str) -> dict[str, Any]:
    try:
        value = orjson.loads(read_text(directory, name))
    except orjson.JSONDecodeError as error:
        raise BundleError(f"{name} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BundleError(f"{name} is not a JSON object")
    return value
