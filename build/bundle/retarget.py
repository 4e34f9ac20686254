"""Makes a bundle for another architecture from a finished one: the same files under its own manifest."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

from manifest import Manifest, Target, write_manifest


def retarget(bundle: Path, manifest: Manifest, target: Target, directory: Path) -> None:
    """Write ``bundle`` for ``target`` to an empty directory. Files are linked where possible, otherwise copied.

    The measured fidelity holds for both: weights are prepared for any CPU, and every class of arithmetic is measured
    whatever the target.
    """
    for name in manifest.files:
        try:
            os.link(bundle / name, directory / name)
        except OSError:  # NOTE: another file system, or one without links.
            shutil.copyfile(bundle / name, directory / name)
    write_manifest(directory, dataclasses.replace(manifest, target=target))
