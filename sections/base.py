"""What every section of a manifest is: it names its files and checks itself."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class BundleError(Exception):
    """A bundle that cannot be served; the message is one sentence that names what is wrong."""


class Section(Protocol):
    """A kind's part of the manifest: a frozen dataclass that JSON can hold."""

    def files(self) -> set[str]:
        """Names of the files that a bundle of this kind has besides those that every bundle has."""

    def check(self) -> None:
        """Check what types alone do not say, such as references between fields.

        Raises ``BundleError`` that names the field, from the section's name on.
        """


def require_name(field: str, name: str | None, known: Collection[str]) -> None:
    """Raises ``BundleError`` where ``field`` refers to a ``name`` that does not exist; None refers to nothing."""
    if name is not None and name not in known:
        raise BundleError(f"{field} is {name}, which is not defined")


def require_positive(field: str, value: int) -> None:
    """Raises ``BundleError`` for a value below 1."""
    if value < 1:
        raise BundleError(f"{field} must be at least 1, not {value}")
