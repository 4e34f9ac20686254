"""Owns the directory in which a bundle grows: complete under its name at the end, or gone."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from build.errors import BuildError, OutOfDisk, OutputExists

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PROBE_BYTES = 1 << 20


@dataclass(frozen=True)
class Staging:
    """``bundle`` becomes the output; ``work`` holds what the stages leave behind. Both on the output's file system."""

    bundle: Path
    work: Path

    def keep_only(self, graphs: Iterable[Path] = ()) -> None:
        """Remove what the stages left in ``work``, but not these graphs and the weights beside each.

        Those lie in the same directory, and their names begin with the graph's.
        """
        kept = {(graph.parent, graph.name) for graph in graphs}
        for file in [path for path in self.work.rglob("*") if path.is_file()]:
            if not any(file.parent == parent and file.name.startswith(name) for parent, name in kept):
                file.unlink()


def refuse_existing(output: Path, force: bool) -> None:
    """Raises ``OutputExists``, before any work, for what would be overwritten without ``force`` or is no directory."""
    if output.exists() and not (force and output.is_dir()):
        raise OutputExists(f"{output} exists already: pass --force to replace it, or --output for another place")


@contextmanager
def staged(output: Path, force: bool) -> Iterator[Staging]:
    """Yield an empty staging area beside ``output``; rename it into place if the body succeeds, else remove it.

    What a killed build left behind is removed first. Raises ``OutputExists`` or ``OutOfDisk``.
    """
    refuse_existing(output, force)
    area = output.parent / f".{output.name}.partial"
    shutil.rmtree(area, ignore_errors=True)
    staging = Staging(area / "bundle", area / "work")
    try:
        staging.bundle.mkdir(parents=True)
        staging.work.mkdir()
        yield staging
        if output.exists():
            output.rename(area / "replaced")
        staging.bundle.rename(output)
        _flush(output)
    except Exception as error:
        if not isinstance(error, BuildError) and _is_full(area):
            raise OutOfDisk("the disk is full: make room, or choose another --output") from error
        raise
    finally:
        shutil.rmtree(area, ignore_errors=True)


def _is_full(area: Path) -> bool:
    """Whether no more can be written. Native libraries say so in their own words, or complain of a file cut short."""
    try:
        (area / "probe").write_bytes(bytes(PROBE_BYTES))
    except OSError as error:
        return error.errno in DISK_FULL
    return False


def _flush(output: Path) -> None:
    """Make the rename last through a power cut."""
    descriptor = os.open(output.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
