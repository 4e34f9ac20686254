"""Composes the image's root file system during an image build, without the files that the runtime never opens."""

from __future__ import annotations

import compileall
import json
import os
import py_compile
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DEBIAN_PACKAGES = (
    "base-files",
    "gcc-12-base",
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libssl3",
    "libstdc++6",
    "python3.11-minimal",
    "zlib1g",
)
"""The runtime needs these packages. They come from the base image if it has them, and are downloaded otherwise."""

DPKG = "var/lib/dpkg"
MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
"""These are links below /usr in an installed Debian, and directories in its packages."""

EPOCH = 315_532_800
"""The time of every file: the first second of 1980, in seconds since 1970. So two builds give the same tree."""

STDLIB = "usr/lib/python3.11"
PACKAGES = "usr/local/lib/python3.11/dist-packages"
APPLICATION = "app"
USER_ID = 65532


@dataclass(frozen=True)
class Unused:
    """Files that are left out."""

    why: str
    """Why the runtime never opens them."""
    patterns: tuple[str, ...]
    """Glob patterns below a directory."""
    directory: str = PACKAGES
    """Where it is in the image, for the rows that depend on a bundle's kind."""


UNUSED_OF_DEBIAN = (
    Unused(
        "glibc's character sets, debuggers' helpers and name services; Python brings its own codecs",
        (
            "usr/lib/*/gconv",
            "usr/lib/*/audit",
            "lib/*/libmemusage.so",
            "lib/*/libmvec.so*",
            "lib/*/libnss_*",
            "lib/*/libpcprofile.so",
            "lib/*/libthread_db.so*",
            "usr/share/gcc",
            "usr/share/gdb",
        ),
    ),
    Unused("OpenSSL's hardware engines and legacy ciphers", ("usr/lib/*/engines-3", "usr/lib/*/ossl-modules")),
    Unused("expat for 16-bit characters", ("usr/lib/*/libexpatw.so*",)),
    Unused(
        "what a login would show, and documentation other than licenses",
        (
            "usr/share/doc/*/[!c]*",
            "usr/share/doc/*/changelog*",
            "usr/share/base-files",
            "usr/share/binfmts",
            "usr/share/lintian",
            "usr/share/man",
            "usr/share/pixmaps",
            "usr/share/applications",
            "etc/motd",
            "etc/issue*",
            "etc/profile.d",
            "etc/update-motd.d",
        ),
    ),
    Unused(
        "parts of the standard library for tests, drawing and interactive help",
        (f"{STDLIB}/test", f"{STDLIB}/pydoc_data", f"{STDLIB}/turtle*", f"{STDLIB}/lib-dynload/_*test*.so"),
    ),
    Unused("legacy East Asian encodings; requests are UTF-8", (f"{STDLIB}/lib-dynload/_codecs_*.so",)),
    Unused(
        "modules whose libraries are not in the image",
        tuple(
            f"{STDLIB}/{name}"
            for name in (
                "curses",
                "dbm",
                "sqlite3",
                "lib-dynload/_bz2.*",
                "lib-dynload/_crypt.*",
                "lib-dynload/_curses*",
                "lib-dynload/_dbm.*",
                "lib-dynload/_lzma.*",
                "lib-dynload/_sqlite3.*",
                "lib-dynload/_uuid.*",
                "lib-dynload/nis.*",
                "lib-dynload/readline.*",
            )
        ),
    ),
)

UNUSED_OF_ONNXRUNTIME = (
    Unused("onnxruntime's library for C programs; the Python binding has its own copy", ("**/libonnxruntime.so*",)),
    Unused(
        "tools that make models; a bundle is finished",
        tuple(f"onnxruntime/{name}" for name in ("backend", "datasets", "quantization", "tools", "transformers")),
    ),
)

WITHOUT_GRAPHS = (
    Unused("onnxruntime, where there is no graph to run", ("onnxruntime", "onnxruntime-*")),
    Unused("the native ops, which only graphs have", ("kernels",), APPLICATION),
)

UNUSED_OF_OTHERS = (
    Unused(
        "parts of numpy that it only imports on demand",
        tuple(f"numpy/{name}" for name in ("distutils", "f2py", "fft", "ma", "polynomial", "random", "testing")),
    ),
    Unused("tests", ("**/tests", "numpy/_core/_simd.*.so", "numpy/_core/_*_tests.*.so", "falcon/testing")),
    Unused("benchmarks", ("falcon/bench",)),
    Unused("sources and types for compilers and editors", tuple(f"**/*.{kind}" for kind in ("c", "h", "p[xy][dix]"))),
    Unused("console scripts", ("bin",)),
    Unused("base64 without the compiled module, and its benchmark", ("pybase64/_fallback.py", "pybase64/__main__.py")),
)

UNREAD_FORMATS = (
    *("Avif", "Blp", "Dds", "Eps", "Fits", "Fli", "Fpx", "Icns", "Ico", "Im", "Jpeg2K", "Mic", "Msp", "Palm", "Pcx"),
    *("Pdf", "Psd", "Qoi", "Sgi", "Spider", "Tga", "Wmf", "Xpm"),
)
"""As the names of Pillow's modules begin. The runtime asks for the formats that it reads one by one."""

UNUSED_OF_PILLOW = (
    Unused(
        "Pillow's text and windows, and formats that are not read",
        (
            *(f"PIL/_{name}.*.so" for name in ("avif", "imagingft", "imagingtk")),
            *(f"pillow.libs/lib{name}-*" for name in ("avif", "freetype", "harfbuzz", "png16")),
            "pillow.libs/libbrotli*",
        ),
    ),
    Unused(
        "Pillow's modules for these",
        (
            *(f"PIL/Image{name}.py" for name in ("Draw", "Draw2", "Font", "Grab", "Qt", "Show", "Text", "Tk", "Win")),
            *(f"PIL/{name}ImagePlugin.py" for name in UNREAD_FORMATS),
            "PIL/PSDraw.py",
            "PIL/PdfParser.py",
            "PIL/WalImageFile.py",
        ),
    ),
)

WITHOUT_IMAGES = Unused("Pillow, where there are no images to read", ("PIL", "pillow.libs", "pillow-*"))

UNUSED_BY_KIND = {
    "clip": (*UNUSED_OF_PILLOW, *UNUSED_OF_ONNXRUNTIME, *UNUSED_OF_OTHERS),
    "rerank": (WITHOUT_IMAGES, *UNUSED_OF_ONNXRUNTIME, *UNUSED_OF_OTHERS),
    "static": (WITHOUT_IMAGES, *WITHOUT_GRAPHS, *UNUSED_OF_OTHERS),
    "text": (WITHOUT_IMAGES, *UNUSED_OF_ONNXRUNTIME, *UNUSED_OF_OTHERS),
}
"""The files of Python packages and of the application that are left out, for each kind of bundle (``manifest.Kind``).

A kind that does not use a package at all has a row for the whole package in place of rows for parts of it.
"""

WITH_DEBUG_INFORMATION = ("falcon", "httptools", "uvloop")
"""The wheels of these packages are mostly debug information. Others have none, or were patched after linking, and strip
would break them.
"""


def compose_debian(base: Path, packages: Path, root: Path) -> None:
    """Make ``root`` from what ``base`` has installed and from ``packages/*.deb``: pruned and compiled, with two users.

    Every package is listed where dpkg would list it, because vulnerability scanners look there.
    """
    notes = gather(base, root) + unpack(packages, root)
    (root / DPKG).mkdir(parents=True, exist_ok=True)
    (root / DPKG / "status").write_text("\n".join(notes), encoding="utf-8")
    prune(root, UNUSED_OF_DEBIAN)
    (root / "etc/passwd").write_text(f"root:x:0:0::/root:\ncpu2vec:x:{USER_ID}:{USER_ID}::/:\n", encoding="utf-8")
    (root / "etc/group").write_text(f"root:x:0:\ncpu2vec:x:{USER_ID}:\n", encoding="utf-8")
    compile_below(root / STDLIB, root)
    settle(root)


def installed(base: Path) -> dict[str, str]:
    """The needed packages that ``base`` has: their entries in its package status, by name.

    A package without its license does not count. The image must carry the license, so the package is downloaded.
    """
    entries = (base / DPKG / "status").read_text(encoding="utf-8").split("\n\n")
    by_name = {entry.strip().partition("\n")[0].removeprefix("Package: "): entry.strip() + "\n" for entry in entries}
    return {
        name: by_name[name]
        for name in DEBIAN_PACKAGES
        if "ok installed" in by_name.get(name, "") and (base / "usr/share/doc" / name / "copyright").exists()
    }


def gather(base: Path, root: Path) -> list[str]:
    """Copy the needed packages that ``base`` has; return their entries for the package status.

    Other files that a slim image has left out of a package stay left out.
    """
    entries = installed(base)
    for name in entries:
        (listing,) = (base / DPKG / "info").glob(f"{name}[.:]*list")
        for line in listing.read_text(encoding="utf-8").splitlines():
            path = line.lstrip("/")
            source, copy = base / path, root / path
            if source.is_dir() and (path in MERGED or not source.is_symlink()):
                copy.mkdir(parents=True, exist_ok=True)
            elif source.exists() or source.is_symlink():
                shutil.copy2(source, copy, follow_symlinks=False)
    return list(entries.values())


def unpack(packages: Path, root: Path) -> list[str]:
    """Unpack ``packages/*.deb`` without running their scripts; return their entries for the package status."""
    notes = []
    for package in sorted(packages.glob("*.deb")):
        subprocess.run(["/usr/bin/dpkg-deb", "--extract", package, root], check=True)
        fields = subprocess.run(
            ["/usr/bin/dpkg-deb", "--field", package], check=True, capture_output=True, text=True
        ).stdout
        name, rest = fields.split("\n", 1)
        notes.append(f"{name}\nStatus: install ok installed\n{rest}")
    return notes


def kind_of(bundle: Path) -> str:
    """The bundle's kind. Raises ``LookupError`` for one that has no row in the table."""
    kind = json.loads((bundle / "manifest.json").read_text(encoding="utf-8")).get("kind")
    if kind not in UNUSED_BY_KIND:
        raise LookupError(f"{kind!r} has no row in UNUSED_BY_KIND, which knows {', '.join(UNUSED_BY_KIND)}")
    return str(kind)


def compose_packages(kind: str, root: Path) -> None:
    """Prune, strip and compile the Python packages that pip has put into ``root``, for one kind of bundle."""
    packages = root / PACKAGES
    prune(packages, unused_of(kind, PACKAGES))
    libraries = [path for name in WITH_DEBUG_INFORMATION for path in (packages / name).rglob("*.so")]
    subprocess.run(["/usr/bin/strip", "--strip-debug", *libraries], check=True)
    compile_below(packages, root)
    settle(root)


def compose_application(kind: str, root: Path) -> None:
    """Prune and compile the application that has been copied into ``root``, for one kind of bundle."""
    application = root / APPLICATION
    prune(application, unused_of(kind, APPLICATION))
    compile_below(application, root)
    settle(root)


def unused_of(kind: str, directory: str) -> tuple[Unused, ...]:
    """What is left out of a directory of the image, for one kind of bundle."""
    return tuple(row for row in UNUSED_BY_KIND[kind] if row.directory == directory)


def prune(root: Path, unused: tuple[Unused, ...]) -> None:
    """Remove what the table lists. Raises ``LookupError`` for a row that matches nothing: it is out of date."""
    for row in unused:
        found = [path for pattern in row.patterns for path in root.glob(pattern)]
        if not found:
            raise LookupError(f'no file matches the row "{row.why}": it is out of date')
        for path in found:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def compile_below(directory: Path, root: Path) -> None:
    """Write ``.pyc`` files that are valid whatever the dates of the sources, which nobody edits in an image.

    Raises ``SyntaxError`` for a source that does not compile.
    """
    compiled = compileall.compile_dir(
        directory,
        maxlevels=20,
        quiet=1,
        stripdir=str(root),
        prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        raise SyntaxError(f"not every module below {directory} compiles")


def settle(root: Path) -> None:
    """Set the times of all files, which otherwise say when they were downloaded, copied or compiled."""
    for path in (root, *root.rglob("*")):
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def main(arguments: list[str]) -> None:
    """Run one step of the Dockerfiles."""
    match arguments:
        case ["missing", base, target]:
            print(*(f"{name}:{target}" for name in DEBIAN_PACKAGES if name not in installed(Path(base))))
        case ["debian", base, packages, root]:
            compose_debian(Path(base), Path(packages), Path(root))
        case ["kind", bundle]:
            print(kind_of(Path(bundle)))
        case ["packages", kind, root]:
            compose_packages(kind, Path(root))
        case ["application", kind, root]:
            compose_application(kind, Path(root))
        case _:
            sys.exit(
                "usage: rootfs.py missing BASE TARGET | debian BASE PACKAGES ROOT | kind BUNDLE | packages KIND ROOT | "
                "application KIND ROOT"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
