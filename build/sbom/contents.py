"""Reads from an image's files which packages are installed in it, where each package manager writes that down."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser

from build.image.rootfs import DPKG, PACKAGES
from manifest import MANIFEST_FILE

STATUS = f"{DPKG}/status"
METADATA = re.compile(rf"{PACKAGES}/[^/]+\.dist-info/METADATA")
VERSION = "app/VERSION"
MANIFEST = f"bundle/{MANIFEST_FILE}"
RELEASE = "usr/lib/os-release"


@dataclass(frozen=True)
class Package:
    """What is installed, and by which name its source knows it."""

    name: str
    version: str
    licence: str | None = None
    """As the package itself says; None where it is a file of its own."""


@dataclass(frozen=True)
class Contents:
    """Everything in an image that has a version."""

    version: str
    """Of this project."""
    python: tuple[Package, ...]
    debian: tuple[Package, ...]
    distribution: str
    """The release of Debian, as in ``debian-12``."""
    model: Package | None
    """None for an image without a bundle."""


def is_read(path: str) -> bool:
    """Whether ``read_contents`` needs the file of an image."""
    return path in (STATUS, VERSION, MANIFEST, RELEASE) or METADATA.fullmatch(path) is not None


def read_contents(files: Mapping[str, bytes]) -> Contents:
    """What the files of an image say, by path. Raises ``KeyError`` for one that every image has."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', files[RELEASE].decode(), re.MULTILINE))
    return Contents(
        version=files[VERSION].decode().strip(),
        python=_sorted(_python(content) for path, content in files.items() if METADATA.fullmatch(path)),
        debian=_sorted(map(_debian, files[STATUS].decode().strip().split("\n\n"))),
        distribution=f"{release['ID']}-{release['VERSION_ID']}",
        model=_model(files[MANIFEST]) if MANIFEST in files else None,
    )


def _sorted(packages: Iterable[Package]) -> tuple[Package, ...]:
    return tuple(sorted(packages, key=lambda package: package.name))


def _python(metadata: bytes) -> Package:
    fields = HeaderParser().parsestr(metadata.decode())
    licence = fields["License-Expression"] or fields["License"]
    # NOTE: some packages have their license's whole text here.
    return Package(fields["Name"], fields["Version"], licence if licence and "\n" not in licence else None)


def _debian(entry: str) -> Package:
    fields = HeaderParser().parsestr(entry)
    return Package(fields["Package"], fields["Version"])


def _model(manifest: bytes) -> Package:
    fields = json.loads(manifest)
    return Package(fields["model"], fields["source"]["revision"], fields["licence"])
