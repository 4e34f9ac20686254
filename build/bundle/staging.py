"""Owns the directories in which bundles grow: all are complete under their names at the end, or none is there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from build.bundle.output import refuse_existing
from build.errors import BuildError, OutOfDisk

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors that mean that no more can be written."""

PROBE_BYTES = 1 << 20
"""Size of the file whose writing shows whether the disk is full."""


@dataclass(frozen=True)
class Staging:
    """Directories to write to, each on the file system of its output."""

    bundle: Path
    """Becomes the output."""

    work: Path
    """Holds what the stages leave behind."""

    extra: tuple[Path, ...] = ()
    """Become the extra outputs, in their order."""

    def discard_except(self, graphs: Iterable[Path] = ()) -> None:
        """Remove what the stages left in ``work``, but not these graphs and the weights beside each.

        The weights of a graph are in its directory, and their names begin with the graph's.
        """
        kept = {(graph.parent, graph.name) for graph in graphs}
        for file in [path for path in self.work.rglob("*") if path.is_file()]:
            if not any(file.parent == parent and file.name.startswith(name) for parent, name in kept):
                file.unlink()


@contextmanager
def staged_output(output: Path, force: bool, extra: Sequence[Path] = ()) -> Iterator[Staging]:
    """Yield empty directories beside the outputs. Rename them into place if the body succeeds; otherwise remove them.

    What a killed build left behind is removed first. Raises ``OutputExists`` or ``OutOfDisk``.
    """
    outputs = (output, *extra)
    bundle, *others = [_staged(each) for each in outputs]
    staging = Staging(bundle, staging_dir(output) / "work", tuple(others))
    for each in outputs:
        _clean_up(each)
        refuse_existing(each, force)
    try:
        for directory in (bundle, staging.work, *others):
            directory.mkdir(parents=True)
        yield staging
        for each in outputs:
            refuse_existing(each, force)
        _publish(outputs)
    except Exception as error:
        # NOTE: libraries that write graphs report a full disk as errors of any class.
        if not isinstance(error, BuildError) and any(map(_is_full, map(staging_dir, outputs))):
            raise OutOfDisk("the disk is full: make room, or choose another --output") from error
        raise
    finally:
        for each in outputs:
            _clean_up(each)


def staging_dir(output: Path) -> Path:
    """The hidden directory beside an output in which it grows."""
    final = _final(output)
    return final.parent / f".{final.name}.partial"


def _final(output: Path) -> Path:
    return Path(os.path.realpath(output))


def _staged(output: Path) -> Path:
    return staging_dir(output) / "bundle"


def _replaced(output: Path) -> Path:
    return staging_dir(output) / "replaced"


def _publish(outputs: Sequence[Path]) -> None:
    """Move outputs that exist out of the way and all staged bundles to their outputs; or leave all as it was."""
    finals = [_final(output) for output in outputs]
    moves = [(final, _replaced(final)) for final in finals if final.exists()]
    moves += [(_staged(final), final) for final in finals]
    begun: list[tuple[Path, Path]] = []
    try:
        for source, destination in moves:
            begun.append((source, destination))
            source.rename(destination)
        for final in finals:
            _flush(final.parent)
    except BaseException:
        for source, destination in reversed(begun):
            # NOTE: an interruption may come before a rename or after it.
            if not source.exists():
                destination.rename(source)
        raise


def _clean_up(output: Path) -> None:
    """Remove what is staged, but first give back an output that a killed build had moved out of the way."""
    if _replaced(output).exists() and not os.path.lexists(_final(output)):
        _replaced(output).rename(_final(output))
    shutil.rmtree(staging_dir(output), ignore_errors=True)


def _is_full(directory: Path) -> bool:
    """Whether no more can be written. Native libraries say so in their own words, or report truncated files."""
    try:
        (directory / "probe").write_bytes(bytes(PROBE_BYTES))
    except OSError as error:
        return error.errno in DISK_FULL
    return False


def _flush(directory: Path) -> None:
    """Make renames in a directory survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
