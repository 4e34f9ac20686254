"""Derives an image's labels from its bundle's manifest."""

from __future__ import annotations

import subprocess
from pathlib import Path

from manifest import Manifest, SourceKind

OCI = "org.opencontainers.image"


def image_labels(manifest: Manifest, version: str | None) -> dict[str, str]:
    """OCI's names where there is one, ``cpu2vec.*`` for the rest. What is not known has no label.

    ``version`` is this project's. OCI's revision is that of what is in the image, here the model's.
    """
    cosine = manifest.fidelity.cosine if manifest.fidelity else None
    labels = {
        f"{OCI}.title": manifest.model,
        f"{OCI}.description": f"{manifest.model} ({manifest.precision}) as an embedding server for CPUs, by cpu2vec",
        f"{OCI}.licenses": manifest.licence,
        f"{OCI}.revision": manifest.source.revision,
        f"{OCI}.version": version,
        f"{OCI}.url": None
        if manifest.source.kind is SourceKind.DIRECTORY
        else f"https://huggingface.co/{manifest.model}",
        "cpu2vec.model": manifest.model,
        "cpu2vec.revision": manifest.source.revision,
        "cpu2vec.licence": manifest.licence,
        "cpu2vec.target": manifest.target,
        "cpu2vec.precision": manifest.precision,
        "cpu2vec.version": version,
        "cpu2vec.fidelity.texts": str(cosine.count) if cosine else None,
        "cpu2vec.fidelity.cosine_mean": f"{cosine.mean:.6f}" if cosine else None,
        "cpu2vec.fidelity.cosine_p1": f"{cosine.p1:.6f}" if cosine else None,
        "cpu2vec.fidelity.cosine_min": f"{cosine.minimum:.6f}" if cosine else None,
    }
    return {name: str(value) for name, value in labels.items() if value is not None}


def project_version(root: Path) -> str | None:
    """What git calls this checkout, or None outside of one."""
    command = ["git", "--no-optional-locks", "-C", str(root), "describe", "--always", "--dirty", "--tags"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() or None
