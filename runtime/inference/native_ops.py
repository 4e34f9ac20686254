"""Owns the library of native ops: finds it, and says whether a bundle can be run with it, and how."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from manifest import BundleError, OpSet
from runtime.errors import SettingsError
from runtime.host.cpu import host_target

DOMAIN = "cpu2vec"

LIBRARY_DIR = Path(__file__).resolve().parent.parent.parent / "kernels" / "lib"


@dataclass(frozen=True)
class NativeOps:
    """The library, and the instruction set that its ops are to use here."""

    library: Path
    isa: str


def load_native_ops(
    op_sets: Iterable[OpSet | None], isa: str | None = None, directory: Path = LIBRARY_DIR
) -> NativeOps | None:
    """What runs graphs of these op sets; None where none of them is made of native ops.

    ``isa`` (``KERNELS_ISA``) forces an instruction set. Raises ``BundleError`` for a library that is missing, damaged
    or older than the bundle, and ``SettingsError`` for an instruction set that cannot be used here.
    """
    wanted = [ops for ops in op_sets if ops is not None]
    if not wanted:
        return None
    for ops in wanted:
        if ops.domain != DOMAIN:
            raise BundleError(
                f"the bundle is made of ops of {ops.domain!r}, and this runtime has those of {DOMAIN!r}: "
                "serve it with the image that it was built for"
            )
    library = _find(directory)
    functions = _load(library)
    for ops in wanted:
        _check_version(library, functions.cpu2vec_kernels_opset(), ops.version)
    return NativeOps(library, _choose(functions, isa))


def _find(directory: Path) -> Path:
    target = host_target()
    if target is None:
        raise BundleError("the bundle is made of native ops, and there are none for this kind of processor")
    library = directory / f"libcpu2vec-{target}.so"
    if not library.is_file():
        raise BundleError(f"the bundle is made of native ops, and {library} is missing; run `make kernels`")
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
            f"the bundle wants version {wanted} of the ops {DOMAIN}, and {library.name} has version {has}: "
            f"serve it with {image}, or rebuild it with this version's quantize.py"
        )


def _choose(functions: ctypes.CDLL, forced: str | None) -> str:
    """The library's own choice unless one is ``forced``."""
    if forced is None:
        return str(functions.cpu2vec_kernels_isa().decode())
    available = functions.cpu2vec_kernels_available().decode().split(",")
    if forced not in available:
        raise SettingsError(f"KERNELS_ISA is {forced!r}, and this machine can use {', '.join(available)}")
    return forced
