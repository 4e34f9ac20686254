"""Names bundles and images after what they are made from."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from manifest import Precision, Target

BUNDLES = Path("bundles")
"""Bundles go here unless the user names another place."""

IMAGE_REPOSITORY = "cpu2vec"
"""The part of an image's default name before the colon."""

MAX_LENGTH = 128
"""Docker accepts tags of up to this many characters."""

AND = " + "
"""Between the names of two models that make one bundle."""

HASH_LENGTH = 12
"""Digits of the hash that tells shortened names apart."""


@dataclass(frozen=True)
class ModelNames:
    """What the user asks for: one model, or one for texts and another one for images. Ids on the hub, or paths."""

    model: str
    revision: str | None
    """The branch, tag or commit on the hub."""
    image_model: str | None = None
    image_revision: str | None = None


def joined(model: str, image_model: str | None) -> str:
    """Return the name of what is made of a model, or of a model for texts and another one for images."""
    return model if image_model is None else AND.join(map(_subject, (model, image_model)))


def image_tag(model: str, revision: str | None, precision: str, arch: str, image_revision: str | None = None) -> str:
    """Return ``cpu2vec:`` and what ``bundle_name`` returns."""
    return f"{IMAGE_REPOSITORY}:{bundle_name(model, revision, precision, arch, image_revision)}"


def bundle_name(model: str, revision: str | None, precision: str, arch: str, image_revision: str | None = None) -> str:
    """Return ``<model>[-<revision>]-<precision>-<arch>`` in lower case, a valid Docker tag and directory name.

    Characters that a tag may not hold become dashes. A name that is too long is shortened and ends in a hash.
    ``image_revision``: of the model for images; it comes after the other one, as ``-images-<revision>``.
    """
    subject = _subject(model) + (f"-{revision}" if revision else "")
    subject += f"-images-{image_revision}" if image_revision else ""
    suffix = f"-{precision}-{arch}"
    name = _valid(subject) + suffix
    if len(name) <= MAX_LENGTH:
        return name
    digest = hashlib.sha256((subject + suffix).encode("utf-8", "surrogateescape")).hexdigest()[:HASH_LENGTH]
    ending = f"{suffix}-{digest}"
    return _valid(subject)[: MAX_LENGTH - len(ending)] + ending


def default_output(
    model: str, revision: str | None, precision: Precision, target: Target, image_revision: str | None = None
) -> Path:
    """The directory of a bundle that the user has not named."""
    return BUNDLES / bundle_name(model, revision, precision, target, image_revision)


def _subject(model: str) -> str:
    """The model's id or path, without the dots and slashes around it."""
    return model.lstrip("./").rstrip("/") or "model"


def _valid(text: str) -> str:
    """The text as a tag may hold it. A tag begins with a letter, a digit or an underscore."""
    return re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).lstrip(".-") or "model"
