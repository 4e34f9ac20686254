"""Builds an image from a model or a bundle: the steps, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from build.command_line import format_size
from build.errors import InvalidOption
from build.fidelity.thresholds import ThresholdOverrides
from build.image.check_bundle import check_bundle
from build.image.context import build_context, link_files
from build.image.docker import Docker
from build.image.labels import describe_project, image_labels, image_source
from build.model.fetch import is_path, model_directory, own_files, refuse_revisions
from build.model.trust import Trust
from build.names import ModelNames, image_tag
from build.paths import ROOT
from manifest import MANIFEST_FILE, Fidelity, Manifest, Precision, Target

TAG = re.compile(r"(?:\w[\w.-]*(?::\d+)?/)?[a-z0-9](?:[a-z0-9._/-]*[a-z0-9])?(?::\w[\w.-]{0,127})?", re.ASCII)
"""Docker accepts names of this form."""


@dataclass(frozen=True)
class ImageOptions:
    """What to build an image from, and how."""

    model: str
    """An id on the hub or a model directory; not used where there is a bundle."""
    bundle: Path | None
    """A finished bundle."""
    target: Target
    precision: Precision | None
    """None: the default of the model's kind."""
    revision: str | None
    """The branch, tag or commit on the hub."""
    trust: Trust
    thresholds: ThresholdOverrides
    tag: str | None
    """The image's name; None: ``image_tag`` of what is in it."""
    image_model: str | None = None
    """The model that reads images, as ``model``, where the texts have one of their own."""
    image_revision: str | None = None
    """The same of the model that reads images."""

    @property
    def names(self) -> ModelNames:
        """The models."""
        return ModelNames(self.model, self.revision, self.image_model, self.image_revision)


@dataclass(frozen=True)
class Image:
    """An image that was built."""

    tag: str
    size: int
    """Bytes of all layers, uncompressed."""
    manifest: Manifest
    """The manifest of the image's bundle."""


def build_image(options: ImageOptions, docker: Docker) -> Image:
    """Make a bundle where there is none, and an image from it. Raises ``BuildError`` or ``BundleError``."""
    if options.bundle is None:
        refuse_revisions(options.names)
    if options.tag is not None and not TAG.fullmatch(options.tag):
        raise InvalidOption(f"TAG must be the name of an image, such as cpu2vec:my-model, not {options.tag!r}")
    with build_context(ROOT) as context:
        if options.bundle is None:
            manifest = _export(options, docker, context)
        else:
            manifest = _take_bundle(options.bundle, options.target, docker, context)
        tag = options.tag or _default_tag(manifest)
        _package(tag, manifest, docker, context)
    return Image(tag, docker.image_size(tag), manifest)


def _default_tag(manifest: Manifest) -> str:
    """The tag for what is in the image."""
    images = image_source(manifest)
    image_revision = images.requested if images is not None else None
    return image_tag(manifest.model, manifest.source.requested, manifest.precision, manifest.target, image_revision)


def summary(image: Image) -> str:
    """What to tell the user about an image: lines with a name and a value each."""
    manifest = image.manifest
    bundle = sum(entry.size for entry in manifest.files.values())
    rows = [
        ("image", image.tag),
        ("model", f"{manifest.model}, {manifest.precision} for {manifest.target}"),
        ("kind", str(manifest.kind)),
        ("size", f"{format_size(image.size)}, including {format_size(bundle)} for the bundle"),
        *_fidelity(manifest.fidelity),
        ("run it", f"docker run --rm -it --read-only --cap-drop=ALL -p 8080:8080 {image.tag}"),
    ]
    return "\n".join(f"{name:<10} {value}" for name, value in rows)


def _fidelity(fidelity: Fidelity | None) -> list[tuple[str, str]]:
    """A row for each kind of figures that the bundle has."""
    if fidelity is None:
        return []
    rows = []
    if cosine := fidelity.cosine:
        to_original = f"mean cosine {cosine.mean:.4f}, minimum {cosine.minimum:.4f} to the original model"
        rows.append(("fidelity", f"{to_original}, on {cosine.count} texts"))
    if scores := fidelity.scores:
        order = f"Kendall's tau {scores.rank_agreement:.4f}, best documents kept {scores.top_kept:.1%}"
        rows.append(("fidelity", f"{order}, on {scores.count} pairs"))
    return rows


def _take_bundle(bundle: Path, target: Target, docker: Docker, context: Path) -> Manifest:
    """Put a finished bundle into ``context``."""
    manifest = check_bundle(bundle, target)
    docker.require_engine()
    link_files(bundle, [*manifest.files, MANIFEST_FILE], context / "bundle")
    return manifest


def _export(options: ImageOptions, docker: Docker, context: Path) -> Manifest:
    """Run the export stage, and put its bundle into ``context``."""
    arguments = {
        **({"PRECISION": options.precision} if options.precision is not None else {}),
        **options.thresholds.build_arguments(),
        **_model_arguments(options, context),
    }
    docker.require_engine()
    output = f"type=local,dest={context.relative_to(ROOT)}/bundle"
    docker.build(options.target, arguments, ["--target", "bundle-from-model", "--output", output])
    return check_bundle(context / "bundle", options.target)


def _package(tag: str, manifest: Manifest, docker: Docker, context: Path) -> None:
    """Build the image from the bundle in ``context``."""
    arguments = {
        "BUNDLE_FROM": "context",
        "CONTEXT": str(context.relative_to(ROOT)),
        "MODEL": manifest.model,
        "PRECISION": manifest.precision,
    }
    labels = image_labels(manifest, describe_project(ROOT))
    words = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    docker.build(manifest.target, arguments, ["--tag", tag, *words])


def _model_arguments(options: ImageOptions, context: Path) -> dict[str, str]:
    """Build arguments that name the model. The files of a local model are put into ``context``."""
    trust = {
        **({"TRUST_REMOTE_CODE": "1"} if options.trust.remote_code else {}),
        **({"CODE_REVISION": options.trust.code_revision} if options.trust.code_revision else {}),
        **({"ALLOW_PICKLE": "1"} if options.trust.pickle else {}),
    }
    given = {"REVISION": options.revision, "IMAGE_REVISION": options.image_revision}
    revisions = {name: revision for name, revision in given.items() if revision}
    models = {"MODEL": options.model, **({"IMAGE_MODEL": options.image_model} if options.image_model else {})}
    local = {name: model for name, model in models.items() if is_path(model)}
    for name, model in local.items():
        directory = model_directory(model)
        # NOTE: below a folder of its own, because two models may have directories of the same name.
        below = Path(name.lower()) / directory.name
        link_files(directory, own_files(directory, options.trust), context / "models" / below)
        models[name] = f"/models/{below.as_posix()}"
    source = {"MODEL_FROM": "context", "CONTEXT": str(context.relative_to(ROOT))} if local else {}
    return {**source, **models, **revisions, **trust}
