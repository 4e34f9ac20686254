"""The library of native ops: where it is, whether it can run a bundle, and the instruction set that it uses."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from manifest import NATIVE_DOMAIN, BundleError, OpSet
from runtime.errors import SettingsError
from runtime.host.cpu import host_target

LIBRARY_DIR = Path(__file__).resolve().parent.parent.parent / "kernels" / "lib"
"""`make kernels` writes the library here."""


@dataclass(frozen=True)
class NativeOps:
    """The library, and the instruction set that its ops use on this machine."""

    library: Path
    isa: str


def load_native_ops(
    op_sets: Iterable[OpSet | None], isa: str | None = None, directory: Path = LIBRARY_DIR
) -> NativeOps | None:
    """Find and check the library for graphs of these op sets. Returns None if none of them needs it.

    ``isa`` (``KERNELS_ISA``) forces an instruction set. Raises ``BundleError`` for a library that is missing, damaged
    or of another version than the bundle, and ``SettingsError`` for an instruction set that this machine lacks.
    """
    wanted = [ops for ops in op_sets if ops is not None]
    if not wanted:
        return None
    for ops in wanted:
        if ops.domain != NATIVE_DOMAIN:
            raise BundleError(
                f"the bundle's ops must be of the domain {NATIVE_DOMAIN!r}, not {ops.domain!r}: "
                "serve it with the image it was built for"
            )
    library = _find(directory)
    functions = _load(library)
    for ops in wanted:
        _check_version(library, functions.cpu2vec_kernels_opset(), ops.version)
    return NativeOps(library, _choose(functions, isa))


def _find(directory: Path) -> Path:
    target = host_target()
    if target is None:
        raise BundleError("the bundle needs native ops, which exist for amd64 and arm64 only")
    library = directory / f"libcpu2vec-{target}.so"
    if not library.is_file():
        raise BundleError(f"the bundle needs native ops, and {library} is missing; run `make kernels`")
    return library


def _load(library: Path) -> ctypes.CDLL:
    try:
        functions = ctypes.CDLL(str(library))
        for name in ("cpu2vec_kernels_isa", "cpu2vec_kernels_available"):
            getattr(functions, name).restype = ctypes.c_char_p
        functions.cpu2vec_kernels_opset.restype = ctypes.c_int
    except (OSError, AttributeError) as error:
        raise BundleError(f"{library.name} cannot be loaded: {error}; run `make kernels`") from None
    return functions


def _check_version(library: Path, has: int, wanted: int) -> None:
    if wanted != has:
        image = "a newer image" if wanted > has else "an older image"
        raise BundleError(
            f"the bundle needs version {wanted} of the ops {NATIVE_DOMAIN}, and {library.name} has version {has}: "
            f"serve it with {image}, or rebuild it with this version's quantize.py"
        )


def _choose(functions: ctypes.CDLL, forced: str | None) -> str:
    """Return the instruction set that is ``forced``, or the library's own choice."""
    if forced is None:
        return str(functions.cpu2vec_kernels_isa().decode())
    available = functions.cpu2vec_kernels_available().decode().split(",")
    if forced not in available:
        raise SettingsError(f"KERNELS_ISA must be one of {', '.join(available)} on this machine, not {forced!r}")
    return forced
