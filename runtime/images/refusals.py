"""Why an image is refused: one value for each reason, whose text follows the image's name in a message.

BadImage
├── NotBase64        the string is not base64
├── NotAnImage       bytes of no format that is read; the message names the format where it is known
├── Truncated        the file ends too early
├── Broken           the file contradicts itself or its format
├── NoPixels         a side of 0
├── TooManyPixels    more than the server decodes
└── TooComplex       so many parts that reading them would take longer than decoding
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.errors import Refusal


class BadImage(Refusal):
    """Base of the reasons. Two of the same values are equal. The text begins with a verb: "images[2] is not …"."""

    # NOTE: none of them is frozen: what passes an exception on, such as contextlib, sets its traceback.


@dataclass(unsafe_hash=True)
class NotBase64(BadImage):
    detail: str

    def __str__(self) -> str:
        return f"is not base64: {self.detail}"


@dataclass(unsafe_hash=True)
class NotAnImage(BadImage):
    found: str | None
    """What it is, with its article; None: unknown."""
    readable: str
    """The formats that are read."""

    def __str__(self) -> str:
        return f"must be {self.readable}, not {self.found or 'bytes of an unknown format'}"


@dataclass(unsafe_hash=True)
class Truncated(BadImage):
    format: str

    def __str__(self) -> str:
        return f"is a truncated {self.format}: the file ends before its picture does"


@dataclass(unsafe_hash=True)
class Broken(BadImage):
    format: str
    detail: str

    def __str__(self) -> str:
        return f"is a broken {self.format}: {self.detail}"


@dataclass(unsafe_hash=True)
class NoPixels(BadImage):
    width: int
    height: int

    def __str__(self) -> str:
        return f"has no pixels: it is {self.width} x {self.height}"


@dataclass(unsafe_hash=True)
class TooManyPixels(BadImage):
    width: int
    height: int
    limit: int

    def __str__(self) -> str:
        return (
            f"has {self.width} x {self.height} pixels, more than {self.limit}, the limit of this server "
            "(MAX_IMAGE_PIXELS)"
        )


@dataclass(unsafe_hash=True)
class TooComplex(BadImage):
    format: str
    what: str
    """Of which there are too many, in the plural."""
    limit: int

    def __str__(self) -> str:
        return f"is a {self.format} with more than {self.limit} {self.what}, the limit of this server"
