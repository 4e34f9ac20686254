"""The kinds of model that can be built: one module each, one row in ``KINDS``."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from build.bundle.staging import Staging
from build.fidelity.seal import Verified
from build.fidelity.thresholds import Option, ThresholdOverrides
from build.model.files import ModelFiles
from build.model.trust import Trust
from build.precisions import PrecisionSpec
from build.progress import Progress
from manifest import Kind, Manifest, Precision, Section, Target

KINDS: dict[Kind, str] = {
    Kind.CLIP: "build.kinds.clip",
    Kind.STATIC: "build.kinds.static",
    Kind.RERANK: "build.kinds.rerank",
    Kind.TEXT: "build.kinds.text",
}
"""The module of each kind, by name, because torch takes seconds to import. The first that recognizes a directory
builds it; text is last, since it says what is missing from a directory that nothing recognizes."""


@dataclass(frozen=True)
class Weights:
    """Sizes in bytes of the model's weights: as stored, and in fp32."""

    stored: int
    fp32: int


class Assembled(Protocol):
    """The files of a bundle, written but not verified, and the original to compare them with."""

    @property
    def section(self) -> Section:
        """The kind's section of the manifest."""

    @property
    def summary(self) -> tuple[tuple[str, str], ...]:
        """Rows, as name and value, of the table at the end of a build."""

    def verify(self, bundle: Path, manifest: Manifest, thresholds: ThresholdOverrides, bars: bool) -> Verified:
        """Serve the bundle with the real runtime and compare its answers with the original's.

        ``thresholds``: those that the user set. ``bars``: whether to draw progress bars. Raises ``FidelityTooLow``
        below the thresholds, and ``VerificationFailed`` where the bundle cannot be served.
        """


class ModelBuild(Protocol):
    """A model that has been described, on its way to a bundle."""

    @property
    def weights(self) -> Weights:
        """How large the model is."""

    @property
    def licence(self) -> str | None:
        """The model's licence, if its files state one."""

    def assemble(self, spec: PrecisionSpec, target: Target, staging: Staging, progress: Progress) -> Assembled:
        """Write the kind's files to ``staging.bundle``. Raises ``BuildError``."""


class KindModule(Protocol):
    """What each module in ``KINDS`` offers."""

    STAGES: tuple[str, ...]
    """The names of the stages in ``ModelBuild.assemble``, in order."""

    PRECISIONS: tuple[Precision, ...]
    """What it can be built in, the default first."""

    THRESHOLDS: tuple[Option, ...]
    """What can be set of what its bundles must reach."""

    def recognizes(self, directory: Path) -> bool:
        """Whether the model in ``directory`` is of this kind, by its files alone."""

    def describe(self, files: ModelFiles, trust: Trust) -> ModelBuild:
        """Read what the bundle depends on, without loading the model. Raises ``BuildError``."""


def kind_of(directory: Path) -> tuple[Kind, KindModule]:
    """The first kind that recognizes the model in ``directory``."""
    return next((kind, module) for kind, module in modules().items() if module.recognizes(directory))


def modules() -> dict[Kind, KindModule]:
    """The module of each kind, in the order in which they are asked."""
    return {kind: import_module(name) for kind, name in KINDS.items()}
