"""Toolchains that only tests need, and what is compiled with them: the kernels' self-test, libraries to refuse."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from build import kernels
from build.kernels import (
    ARCHITECTURES,
    AVX512,
    NO_CXX_LIBRARY,
    ZIG,
    Toolchain,
    build_program,
    compile_units,
    for_image,
    library_units,
    link,
)
from manifest import Target
from tests.support.bundles.cache import cached
from tests.support.graphs.kernel_ops import available

SIMULATING: dict[str, tuple[str, ...]] = {
    "cpu": ("-DCPU2VEC_SIMULATED_ISAS",),
    "isa_avxvnni": AVX512,
    "isa_amx": (*AVX512, "-include", "kernels/programs/tiles.h"),
}
"""Flags of the source files with which AVX-512 simulates instruction sets that a machine may lack."""

SANITIZED = Toolchain(
    ("clang++",),
    (
        *("-O1", "-gline-tables-only", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        "-fno-omit-frame-pointer",
        # PERF: checks of addresses are calls. In place, the compiler would take three times as long.
        *("-mllvm", "-asan-instrumentation-with-call-threshold=0"),
    ),
)
"""Debian's clang, because the pinned compiler comes without the sanitizers' runtime library."""


def for_emulator(target: Target) -> Toolchain:
    """The toolchain for programs that an emulator runs; those of another architecture need no libraries of it."""
    # PERF: else the C library would be compiled as well, and all kernels once more.
    if target is Target.of_machine():
        return for_image(target)
    return Toolchain(ZIG, ("-target", f"{ARCHITECTURES[target].machine}-linux-musl"), ("-static", *NO_CXX_LIBRARY))


def build_selftest(target: Target, toolchain: Toolchain, directory: Path) -> Path:
    """Compile ``selftest`` for the instruction sets that a CPU or an emulator has, and return its path."""
    return build_program("selftest", target, toolchain, directory)


def build_simulating_selftest(target: Target, toolchain: Toolchain, directory: Path) -> Path:
    """Compile ``selftest`` so that on a CPU with AVX-512 it also runs what SIMULATING simulates."""
    return build_once("selftest", target, toolchain, directory, units=_simulating(target))


def _simulating(target: Target) -> dict[str, tuple[str, ...]]:
    return SIMULATING if target is Target.AMD64 else {}


def build_once(
    name: str,
    target: Target,
    toolchain: Toolchain,
    directory: Path,
    *,
    defines: Iterable[str] = (),
    units: Mapping[str, tuple[str, ...]] | None = None,
) -> Path:
    """What ``build_program`` makes, compiled once for all tests that need the same program."""
    arguments = (target, toolchain, list(defines), units)
    key = hashlib.sha256(repr(arguments).encode()).hexdigest()[:16]

    def make(output: Path) -> None:
        build_program(name, target, toolchain, output, defines=arguments[2], units=units)

    return Path(shutil.copy(cached(f"{name}-{key}", make) / name, directory))


def sanitized(target: Target) -> Path:
    """A directory with ``selftest`` and the library under the sanitizers, both of which run what SIMULATING simulates.

    PERF: they are linked from the same objects, since these take minutes to compile.
    """

    def make(output: Path) -> None:
        units = library_units(target) | _simulating(target)
        objects = compile_units(SANITIZED, {**units, "../programs/selftest": ()}, output)
        of_library = [path for path in objects if Path(path).stem != "selftest"]
        link(SANITIZED, [path for path in objects if Path(path).stem != "ort_ops"], (), output / "selftest")
        shared = Toolchain(SANITIZED.compiler, (*SANITIZED.flags, "-shared-libasan"))
        flags = tuple(flag for flag in kernels.LINK if flag not in ("-s", "-Wl,--no-undefined"))
        link(shared, of_library, flags, output / kernels.library(target).name)

    return cached("sanitized-kernels", make)


def library_to_refuse(target: Target, onnxruntime: str | None = None) -> Path:
    """A library for an architecture or a version of onnxruntime that is not this machine's; it need not be fast."""

    def make(output: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernels, "LIBRARIES", output)
            patch.setattr(kernels, "COMMON", (*kernels.COMMON, "-O0"))
            if onnxruntime is not None:
                patch.setattr(kernels, "pinned_onnxruntime", lambda: onnxruntime)
            kernels.build(target)

    return cached(f"library-{target}-{onnxruntime}", make) / kernels.library(target).name


def simulated() -> list[str]:
    """Return the instruction sets that the program must test on this machine: with AVX-512, also simulated ones."""
    names = available()
    return [*names, "amx", "avxvnni"] if "avx512vnni" in names else names


def passes(*command: object) -> None:
    """Run a program, which must find nothing wrong."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=1800, check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
