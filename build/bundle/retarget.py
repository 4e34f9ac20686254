"""Makes a bundle for another architecture of a finished one: the same files under a manifest of its own."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

from build.bundle.staging import staged
from manifest import Manifest, Target, write_manifest


def retarget(bundle: Path, manifest: Manifest, target: Target, output: Path, force: bool) -> None:
    """Write ``bundle`` for ``target`` to ``output``. Files are linked where the file system allows it, else copied.

    What was measured holds for both: weights are prepared for any CPU, and classes of arithmetic are measured whatever
    the target.
    Raises ``OutputExists`` or ``OutOfDisk``.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with staged(output, force) as staging:
        for name in manifest.files:
            try:
                os.link(bundle / name, staging.bundle / name)
            except OSError:  # NOTE: another file system, or one without links.
                shutil.copyfile(bundle / name, staging.bundle / name)
        write_manifest(staging.bundle, dataclasses.replace(manifest, target=target))
