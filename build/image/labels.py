"""Derives an image's labels from its bundle's manifest and from this checkout."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from manifest import ClipModel, ImageSource, Manifest, SourceKind

OCI = "org.opencontainers.image"
"""By the image specification, labels with this prefix describe the image and the software in it."""

LICENSE = "Apache-2.0"
"""The license of this project, as SPDX spells it."""

VERSION_FILE = "VERSION"
"""This file of the checkout holds the project's version."""


@dataclass(frozen=True)
class Project:
    """What this checkout is; None where it is not known."""

    version: str | None
    revision: str | None
    """The commit, with ``-dirty`` where files differ from it."""
    source: str | None
    """The URL of the repository."""


def image_labels(manifest: Manifest, project: Project) -> dict[str, str]:
    """OCI's labels about the image and this project, and ``cpu2vec.*`` about the model. None for what is not known."""
    cosine, scores = (manifest.fidelity.cosine, manifest.fidelity.scores) if manifest.fidelity else (None, None)
    images = image_source(manifest)
    labels = {
        f"{OCI}.title": manifest.model,
        f"{OCI}.description": f"{manifest.model} ({manifest.precision}), served on CPUs by cpu2vec",
        "cpu2vec.model": manifest.model,
        "cpu2vec.model.revision": manifest.source.revision,
        "cpu2vec.model.code_revision": manifest.source.code_revision,
        "cpu2vec.model.license": manifest.licence,
        "cpu2vec.model.url": None
        if manifest.source.kind is SourceKind.DIRECTORY or images is not None
        else f"https://huggingface.co/{manifest.model}",
        "cpu2vec.image_model": images.model if images else None,
        "cpu2vec.image_model.revision": images.revision if images else None,
        "cpu2vec.kind": manifest.kind,
        "cpu2vec.target": manifest.target,
        "cpu2vec.precision": manifest.precision,
        "cpu2vec.fidelity.texts": str(cosine.count) if cosine else None,
        "cpu2vec.fidelity.cosine_mean": f"{cosine.mean:.6f}" if cosine else None,
        "cpu2vec.fidelity.cosine_p1": f"{cosine.p1:.6f}" if cosine else None,
        "cpu2vec.fidelity.cosine_min": f"{cosine.minimum:.6f}" if cosine else None,
        "cpu2vec.fidelity.pairs": str(scores.count) if scores else None,
        "cpu2vec.fidelity.rank_agreement": f"{scores.rank_agreement:.6f}" if scores else None,
        "cpu2vec.fidelity.top_kept": f"{scores.top_kept:.6f}" if scores else None,
        "cpu2vec.fidelity.error_rms": f"{scores.error_rms:.6f}" if scores else None,
    }
    return {**project_labels(project), **_known(labels)}


def image_source(manifest: Manifest) -> ImageSource | None:
    """The model that images have where texts have one of their own."""
    return manifest.section.image.source if isinstance(manifest.section, ClipModel) else None


def project_labels(project: Project) -> dict[str, str]:
    """Labels about this project. None for what is not known."""
    return _known(
        {
            f"{OCI}.licenses": LICENSE,
            f"{OCI}.version": project.version,
            f"{OCI}.revision": project.revision,
            f"{OCI}.source": project.source,
            "cpu2vec.version": project.version,
        }
    )


def _known(labels: Mapping[str, str | None]) -> dict[str, str]:
    return {name: str(value) for name, value in labels.items() if value is not None}


def describe_project(root: Path) -> Project:
    """What git and the file VERSION say about this checkout."""
    file = root / VERSION_FILE
    url = _git(root, "remote", "get-url", "origin")
    return Project(
        version=file.read_text(encoding="utf-8").strip() if file.exists() else None,
        revision=_git(root, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"),
        source=_public(url) if url else None,
    )


def _public(url: str) -> str | None:
    """The URL of a repository without ``.git``; None for one that holds a password, or that a browser cannot open."""
    return url.removesuffix(".git") if url.startswith("https://") and "@" not in url else None


def _git(root: Path, *words: str) -> str | None:
    """What git answers about the checkout ``root``; None where it is not one, and where there is no git."""
    command = ["git", "--no-optional-locks", "-C", str(root), "--git-dir", ".git", *words]
    try:
        answer = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() or None
