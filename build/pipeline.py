"""The recipe: the stages from a model's name to a bundle, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from build.bundle.output import refuse_existing, refuse_model_directory
from build.bundle.retarget import retarget
from build.bundle.staging import Staging, staged_output
from build.bundle.writer import write_unverified
from build.command_line import alternatives
from build.errors import InvalidOption, UnsupportedModel
from build.fidelity.seal import seal
from build.fidelity.thresholds import NO_OVERRIDES, ThresholdOverrides
from build.host.resources import available_memory, check_resources, free_disk
from build.kinds import Assembled, ModelBuild, kind_of
from build.model.fetch import fetch_models, is_path
from build.model.files import ModelFiles
from build.model.trust import NO_TRUST, Trust
from build.names import ModelNames, default_output, joined
from build.precisions import PRECISIONS, PrecisionSpec
from build.progress import Progress, silence_libraries
from manifest import Kind, Manifest, Precision, Target

VERIFY = "verify"
"""The last stage, of every kind."""


@dataclass(frozen=True)
class BuildOptions:
    """What the user asked for."""

    model: str
    revision: str | None
    target: Target
    precision: Precision | None
    """None: the kind's default."""
    output: Path | None
    """None: named after what is built."""
    force: bool
    trust: Trust = NO_TRUST
    thresholds: ThresholdOverrides = NO_OVERRIDES
    extra_targets: tuple[tuple[Target, Path | None], ...] = ()
    """Other targets that get the same bundle, and where."""
    image_model: str | None = None
    """The model that reads images, where the texts have one of their own."""
    image_revision: str | None = None

    @property
    def names(self) -> ModelNames:
        """The models."""
        return ModelNames(self.model, self.revision, self.image_model, self.image_revision)

    @property
    def targets(self) -> tuple[tuple[Target, Path | None], ...]:
        """All targets, and where their bundles go."""
        return ((self.target, self.output), *self.extra_targets)

    def outputs(self, precision: Precision) -> tuple[tuple[Target, Path], ...]:
        """The same in this precision, with every place named."""
        name = joined(self.model, self.image_model)
        return tuple(
            (target, output or default_output(name, self.revision, precision, target, self.image_revision))
            for target, output in self.targets
        )


@dataclass(frozen=True)
class BuildResult:
    """The finished bundle."""

    manifest: Manifest
    weight_bytes: int
    """The size of the weights that it was made from."""
    summary: tuple[tuple[str, str], ...]
    """The kind's rows of the table at the end, as name and value."""
    outputs: tuple[tuple[Target, Path], ...]
    """Where the bundle of each target is."""


def build_bundle(options: BuildOptions, progress: Progress) -> BuildResult:
    """Build the bundle at ``options.output``. Raises ``BuildError``. Failed or interrupted, it leaves nothing."""
    _refuse_outputs(options, [output for _, output in options.targets])
    if options.precision is not None:
        _refuse_outputs(options, [output for _, output in options.outputs(options.precision)])
    described = fetch_and_describe(options, progress)
    spec = _spec(options.precision, described)
    targets = options.outputs(spec.precision)
    outputs = [output for _, output in targets]
    _refuse_outputs(options, outputs)
    for output in outputs:
        for files in filter(None, (described.files, described.files.of_images)):
            refuse_model_directory(output, files.directory)
    weights = described.build.weights
    check_resources(weights.fp32, available_memory(), free_disk(outputs[0]), outputs[0])

    with staged_output(outputs[0], options.force, outputs[1:]) as staging, silence_libraries():
        assembled, manifest = assemble(described, spec, options.target, staging, progress)
        with progress.stage(VERIFY, "against the original in fp32, on held-out inputs, through the real runtime"):
            verified = assembled.verify(staging.bundle, manifest, options.thresholds, progress.bars)
            manifest = seal(staging.bundle, manifest, verified)
        for (target, _), directory in zip(targets[1:], staging.extra, strict=True):
            retarget(staging.bundle, manifest, target, directory)
    return BuildResult(manifest, weights.stored, (*assembled.summary, *verified.summary), targets)


def _refuse_outputs(options: BuildOptions, outputs: Sequence[Path | None]) -> None:
    """Raise ``OutputExists`` or ``OutputNotAllowed`` for a place that no bundle may take; None is not known yet."""
    for output in filter(None, outputs):
        for model in filter(None, (options.model, options.image_model)):
            if is_path(model):
                refuse_model_directory(output, Path(model))
        refuse_existing(output, options.force)


def _spec(wanted: Precision | None, described: Described) -> PrecisionSpec:
    """The precision that was asked for, or else the kind's default. Raises ``InvalidOption``."""
    if wanted is not None and wanted not in described.precisions:
        raise InvalidOption(
            f"--precision must be {alternatives(described.precisions)} for {described.files.model}, a model of kind "
            f"{described.kind}, not {wanted}"
        )
    return PRECISIONS[wanted or described.precisions[0]]


@dataclass(frozen=True)
class Described:
    """A model's files, what kind it is, and how that kind builds it."""

    files: ModelFiles
    kind: Kind
    precisions: tuple[Precision, ...]
    """What the kind can be built in, the default first."""
    build: ModelBuild


def fetch_and_describe(options: BuildOptions, progress: Progress) -> Described:
    """From a model's name to what its files say. Raises ``BuildError``."""
    with progress.stage("fetch", joined(options.model, options.image_model)):
        files = fetch_models(options.names, options.trust)
    with progress.stage("describe", files.name):
        kind, module = kind_of((files.of_images or files).directory)
        if files.of_images is not None and kind is not Kind.CLIP:
            raise UnsupportedModel(f"--image-model must be a CLIP model: {files.of_images.model} is of kind {kind}")
        options.thresholds.require(module.THRESHOLDS, f"{files.model}, a model of kind {kind}")
        described = Described(files, kind, module.PRECISIONS, module.describe(files, options.trust))
    progress.expect((*module.STAGES, VERIFY))
    return described


def assemble(
    described: Described, spec: PrecisionSpec, target: Target, staging: Staging, progress: Progress
) -> tuple[Assembled, Manifest]:
    """Write a bundle that can be served and has not been verified. Raises ``BuildError``."""
    build = described.build
    assembled = build.assemble(spec, target, staging, progress)
    manifest = write_unverified(
        staging.bundle, described.files, build.licence, described.kind, target, spec.precision, assembled.section
    )
    return assembled, manifest
