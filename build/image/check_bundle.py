"""Checks that a bundle is intact and built for the image's architecture. Runs on the host and in the image build."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from build.image.rootfs import settle
from manifest import BundleError, Manifest, Target, check_files, read_manifest


def check_bundle(directory: Path, target: Target) -> Manifest:
    """The bundle's manifest, with every hash compared. Raises ``BundleError``."""
    if not directory.is_dir():
        raise BundleError(f"{directory} is not a directory")
    manifest = read_manifest(directory)
    if manifest.target is not target:
        raise BundleError(f"{directory} must be a bundle for {target}, not for {manifest.target}")
    check_files(directory, manifest, hashes=True)
    return manifest


def main(arguments: list[str]) -> None:
    """Check the bundle GIVEN for TARGET, and copy it to ADMITTED, readable by every user."""
    given, admitted = Path(arguments[0]), Path(arguments[1])
    try:
        check_bundle(given, Target(arguments[2]))
    except BundleError as error:
        sys.exit(f"cpu2vec: {error}")
    admitted.mkdir()
    for path in given.iterdir():
        shutil.copyfile(path, admitted / path.name)
    settle(admitted)


if __name__ == "__main__":
    main(sys.argv[1:])
