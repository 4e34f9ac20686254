"""Writes a bundle's manifest and the files that every kind has."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from build.model.files import ModelFiles
from manifest import (
    FIDELITY_FILE,
    GOLDEN_FILE,
    SCHEMA,
    Golden,
    Kind,
    Manifest,
    Precision,
    Section,
    Target,
    describe_files,
    project_version,
    to_json,
    write_manifest,
)

TOOLS = (
    "torch",
    "transformers",
    "optimum",
    "optimum-onnx",
    "sentence-transformers",
    "onnx",
    "onnxruntime",
    "tokenizers",
    "model2vec",
)
"""The packages whose versions a manifest names."""


def write_unverified(
    directory: Path,
    files: ModelFiles,
    licence: str | None,
    kind: Kind,
    target: Target,
    precision: Precision,
    section: Section,
) -> Manifest:
    """Complete the kind's files in ``directory`` to a bundle that can be served and claims nothing.

    It has no fidelity figures and no golden requests.
    """
    (directory / GOLDEN_FILE).write_text(to_json(Golden(requests=())), encoding="utf-8")
    (directory / FIDELITY_FILE).write_text("{}\n", encoding="utf-8")
    manifest = Manifest(
        schema=SCHEMA,
        version=project_version(),
        model=files.name,
        source=replace(files.source, requested=files.requested_revision),
        licence=licence,
        kind=kind,
        target=target,
        precision=precision,
        files=describe_files(directory, section),
        tools={name: version(name) for name in TOOLS},
        fidelity=None,
        section=section,
    )
    write_manifest(directory, manifest)
    return manifest
