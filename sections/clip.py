"""The section of models with two towers: texts and images become vectors of one space."""

from __future__ import annotations

from dataclasses import dataclass

from sections.base import BundleError, require_positive
from sections.parts import Graph
from sections.pixels import PixelInput
from sections.text import TextModel


@dataclass(frozen=True)
class ImageSource:
    """The model that images have where texts have one of their own."""

    model: str
    revision: str
    """The hub's commit, or else ``sha256:`` and a content hash."""
    requested: str | None = None
    """The branch, tag or commit that the user asked for; None: the newest."""


@dataclass(frozen=True)
class ImageModel:
    """What the runtime needs to know to turn an image into the original's vector."""

    architecture: str
    pixels: PixelInput
    """What the network reads."""
    graph: Graph
    """Takes (images, 3, side, side), and ends at vectors, (images, dim)."""
    normalizes: bool
    """Whether vectors are divided by their length."""
    memory: int
    """The most bytes that a run over one image takes besides weights."""
    source: ImageSource | None = None
    """None: it is the texts' model as well."""

    def check(self, field: str) -> None:
        """Raises ``BundleError`` that names the first field whose value cannot be."""
        self.pixels.check(f"{field}.pixels")
        self.graph.check(f"{field}.graph")
        if len(self.graph.inputs) != 1:
            raise BundleError(f"{field}.graph.inputs must have one name, not {len(self.graph.inputs)}")
        require_positive(f"{field}.memory", self.memory)


@dataclass(frozen=True)
class ClipModel:
    """A text model and an image model whose vectors have the same length."""

    text: TextModel
    image: ImageModel
    end: int | None = None
    """The token that ends a text: what follows its first occurrence is not read. None: texts are read to their end."""

    def files(self) -> set[str]:
        """Both graphs with their weights, and what the text model has besides."""
        return self.text.files() | {self.image.graph.file, self.image.graph.weights}

    def check(self) -> None:
        """Raises ``BundleError`` that names the first field whose value cannot be."""
        self.text.check()
        if self.text.default_encoder is None:
            raise BundleError("clip.text.default_encoder is missing: texts have no task here")
        self.image.check("clip.image")
