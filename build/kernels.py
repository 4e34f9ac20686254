"""Compiles the native kernels into one shared library per architecture, with the same bytes on every machine."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from build.command_line import ARCHITECTURES as TARGETS
from build.command_line import Parser, run
from build.errors import CompilerFailed
from manifest import Target

PROGRAM = "build.kernels"

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ROOT / "kernels" / "lib"

COMPILER_PACKAGE = "ziglang"
ZIG = (sys.executable, "-m", COMPILER_PACKAGE, "c++")
"""The compiler of everything that ships: a pinned package that compiles for both architectures on either."""

COMMON = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-math-errno",
    "-fno-threadsafe-statics",
    # NOTE: only the source fuses products and sums; otherwise, instruction sets would round differently.
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-Werror",
)
LINK = (
    "-shared",
    "-s",
    "-Wl,--build-id=none",
    "-Wl,--no-undefined",
    "-Wl,--version-script=kernels/src/exports.map",
)
LIBRARIES_NEEDED = ("-lm", "-lpthread")
NO_CXX_LIBRARY = ("-nostdlib++",)

AVX2 = ("-mavx2", "-mfma")
AVX512 = (*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni")
DOT_PRODUCT = "-mcpu=generic+dotprod"


@dataclass(frozen=True)
class Architecture:
    """How to compile for one architecture."""

    machine: str
    """The name that compilers have for it."""
    isas: dict[str, tuple[str, ...]]
    """The flags of each instruction set, by the name in its source file ``isa_<name>.cpp``."""


ARCHITECTURES = {
    Target.AMD64: Architecture(
        "x86_64",
        {
            "avx2": AVX2,
            "avxvnni": (*AVX2, "-mavxvnni"),
            "avx512vnni": AVX512,
            "amx": (*AVX512, "-mamx-tile", "-mamx-int8"),
        },
    ),
    Target.ARM64: Architecture("aarch64", {"neon_dot": (DOT_PRODUCT,), "neon_i8mm": (f"{DOT_PRODUCT}+i8mm",)}),
}

PLAIN = ("scalar", "cpu", "dispatch", "selfcheck", "scratch", "error", "pooling", "ops")
"""These source files are compiled for any CPU of the architecture."""


@dataclass(frozen=True)
class Toolchain:
    """A compiler and its flags, besides those that all toolchains share."""

    compiler: tuple[str, ...]
    flags: tuple[str, ...]
    """Flags for compiling and for linking."""
    link: tuple[str, ...] = ()
    """Flags for linking alone."""


def for_image(target: Target) -> Toolchain:
    """The toolchain of everything that ships, for the oldest glibc that an image may have."""
    return Toolchain(ZIG, ("-target", f"{ARCHITECTURES[target].machine}-linux-gnu.2.28"), NO_CXX_LIBRARY)


def pinned_onnxruntime() -> str:
    """The version of onnxruntime that the runtime has, and that the kernels are compiled for."""
    match = re.search(r"^onnxruntime==(\S+)", (ROOT / "requirements.in").read_text(), re.MULTILINE)
    if match is None:
        raise CompilerFailed("requirements.in does not pin onnxruntime")
    return match[1]


def library(target: Target) -> Path:
    """Where the library is, or will be."""
    return LIBRARIES / f"libcpu2vec-{target}.so"


def stamp(target: Target) -> Path:
    """The file that holds the fingerprint of what the library was made from."""
    return library(target).with_suffix(".made-from")


def fingerprint(target: Target) -> bytes:
    """A hash of everything that the library's bytes depend on: sources, flags, versions of compiler and onnxruntime.

    Raises ``CompilerFailed`` if there is no compiler.
    """
    try:
        compiler = importlib.metadata.version(COMPILER_PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise CompilerFailed(f"{COMPILER_PACKAGE} is missing: it compiles the kernels") from error
    toolchain = for_image(target)
    flags = (COMMON, toolchain.flags, library_units(target), toolchain.link, LINK, LIBRARIES_NEEDED)
    digest = hashlib.sha256(repr((compiler, flags)).encode())
    for path in sorted((ROOT / "kernels" / "src").iterdir()):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest().encode()


def is_current(target: Target) -> bool:
    """Whether the library exists and was made from the current sources. Raises ``CompilerFailed``."""
    try:
        made_from = stamp(target).read_bytes()
    except FileNotFoundError:
        return False
    return library(target).exists() and made_from == fingerprint(target)


def ensure(target: Target) -> Path:
    """Compile the library if it is not current, with a line to standard error; return its path.

    Of several processes, one compiles and the others wait for it. Raises ``CompilerFailed``.
    """
    if not is_current(target):
        with _locked():
            if not is_current(target):
                print("compiling the native kernels (about 15 s)", file=sys.stderr, flush=True)
                _build(target)
    return library(target)


def build(target: Target) -> Path:
    """Compile and link the library for ``target``, and return its path. Raises ``CompilerFailed``."""
    with _locked():
        _build(target)
    return library(target)


def _build(target: Target) -> None:
    """Compile and link; a failure leaves the old library, but not its stamp."""
    made_from, toolchain = fingerprint(target), for_image(target)
    stamp(target).unlink(missing_ok=True)
    objects = compile_units(toolchain, library_units(target), LIBRARIES / f"objects-{target}")
    link(toolchain, objects, LINK, library(target))
    stamp(target).write_bytes(made_from)


@contextmanager
def _locked() -> Iterator[None]:
    """Keep other processes from compiling at the same time."""
    LIBRARIES.mkdir(parents=True, exist_ok=True)
    with (LIBRARIES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def library_units(target: Target) -> dict[str, tuple[str, ...]]:
    """The library's source files, without suffix, each with its own flags."""
    version = (f'-DCPU2VEC_ONNXRUNTIME="{pinned_onnxruntime()}"',)
    return dict.fromkeys(PLAIN, ()) | {"ort_ops": version} | _isa_units(ARCHITECTURES[target].isas)


def build_program(
    name: str,
    target: Target,
    toolchain: Toolchain,
    directory: Path,
    *,
    defines: Iterable[str] = (),
    units: Mapping[str, tuple[str, ...]] | None = None,
) -> Path:
    """Compile a program of ``kernels/programs`` with all kernels in it, and return its path. Raises ``CompilerFailed``.

    ``defines``: macros of all source files. ``units``: flags in place of the target's, by source file without suffix.
    """
    defined = tuple(f"-D{macro}" for macro in defines)
    all_units = dict.fromkeys(PLAIN, ()) | _isa_units(ARCHITECTURES[target].isas) | dict(units or {})
    all_units |= {f"../programs/{name}": ()}
    objects = compile_units(toolchain, {unit: (*flags, *defined) for unit, flags in all_units.items()}, directory)
    link(toolchain, objects, (), directory / name)
    return directory / name


def _isa_units(isas: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {f"isa_{name}": flags for name, flags in isas.items()}


def compile_units(toolchain: Toolchain, units: dict[str, tuple[str, ...]], directory: Path) -> list[str]:
    """Compile source files, named without suffix, each with its own flags; return the object files in that order.

    Raises ``CompilerFailed``.
    """
    directory.mkdir(parents=True, exist_ok=True)

    def compile_unit(unit: str, flags: tuple[str, ...]) -> str:
        output = str(directory / f"{Path(unit).name}.o")
        # NOTE: paths are relative to the root, so that no path of this machine gets into the library.
        source = f"kernels/src/{unit}.cpp"
        command = (*toolchain.compiler, *COMMON, *toolchain.flags, *flags, "-c", source, "-o", output)
        _run(command)
        return output

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # PERF: the last ones, those of instruction sets, take longest, and begin first.
        return list(pool.map(compile_unit, reversed(units), reversed(units.values())))[::-1]


def link(toolchain: Toolchain, objects: Iterable[str], flags: tuple[str, ...], output: Path) -> None:
    """Link into a new file that then replaces the old one: a process that has mapped the old one keeps it.

    Raises ``CompilerFailed``.
    """
    written = output.with_suffix(".new")
    command = (*toolchain.compiler, *toolchain.flags, *toolchain.link, *flags, *objects, *LIBRARIES_NEEDED)
    _run((*command, "-o", str(written)))
    written.replace(output)


def _run(command: tuple[str, ...]) -> None:
    try:
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CompilerFailed(f"{command[0]} is missing: it compiles the kernels") from error
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:]
        print(result.stderr, file=sys.stderr)
        raise CompilerFailed(f"the kernels do not compile: {''.join(last)}")


def main(arguments: list[str]) -> int:
    """Compile the library of one architecture."""
    parser = Parser(PROGRAM, "Compile the native kernels.")
    parser.add_argument("--arch", type=TARGETS, metavar=TARGETS.metavar, required=True, help="CPU architecture")
    parser.add_switch("--if-needed", help="only compile if the library is not current, and print nothing otherwise")
    options = parser.read(arguments)
    return run(PROGRAM, lambda: _main(options.arch, options.if_needed), "the library was not replaced")


def _main(target: Target, if_needed: bool) -> int:
    if if_needed:
        ensure(target)
    else:
        output = build(target)
        print(f"{output.relative_to(ROOT)}  {output.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
