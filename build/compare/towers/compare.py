"""Compares a running container of texts and images with a new one, tower by tower: the steps, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from build.command_line import clip
from build.compare.causes import Experiment, Finding, Vectors, find_causes, sample
from build.compare.client import VECTORIZE, Container, connect
from build.compare.figures import Figures, measure
from build.compare.hypotheses import Hypothesis
from build.compare.sides import NewSide, counted, manifest_of, opened
from build.compare.texts import read_texts
from build.compare.towers.images import OwnImage, own_images
from build.compare.towers.verdict import judge
from build.compare.verdict import MIN_COSINE_P1, Judgment, directions
from build.fidelity.client import CLIPPED_TEXT, VectorsClient
from build.progress import Progress
from manifest import Manifest

TOWER_STAGES = ("embed", "measure", "explain")
"""The stages of a comparison, in order."""

TEXTS, IMAGES = "texts", "images"
"""The towers, as requests and reports call them."""


@dataclass(frozen=True)
class TowerOptions:
    """What to compare."""

    old: Container
    new: NewSide
    texts: Path
    images: Path | None
    """A directory; None: drawings."""
    seconds: float
    """The limit for one answer."""


@dataclass(frozen=True)
class TowerComparison:
    """The result: what was measured of each tower, the verdict, and why the vectors differ."""

    manifest: Manifest | None
    """The new bundle's; None where the new side is a running container."""
    repeated: Mapping[str, int]
    """How many equal texts and equal images were left out."""
    image_source: str
    towers: Mapping[str, Figures]
    judgment: Judgment
    findings: Mapping[str, tuple[Finding, ...]]
    """By tower: those whose vectors point elsewhere."""


def compare_towers(options: TowerOptions, progress: Progress) -> TowerComparison:
    """Request all vectors from both, measure, judge. Raises ``BuildError`` or ``BundleError``."""
    with closing(connect(options.old, options.seconds, VECTORIZE)) as old_container:
        manifest = manifest_of(options.new)
        texts, images = read_texts(options.texts), own_images(options.images)
        what = f"{len(texts.texts)} texts and {len(images.images)} images"
        with progress.stage("embed", f"{what}, by {options.old} and by {options.new}"):
            # NOTE: a wrong address is reported before a large model is loaded.
            _text_vector(old_container, texts.texts[0])
            with opened(options.new, options.seconds, route=VECTORIZE) as new_container:
                both = (old_container, new_container)
                old_texts, new_texts = _embed_texts(both, texts.texts, progress)
                old_images, new_images = _embed_images(both, images.images, progress)
    names = tuple(image.name for image in images.images)
    with progress.stage("measure", "cosines, lengths, neighbors"):
        towers = {TEXTS: measure(texts.texts, old_texts, new_texts), IMAGES: measure(names, old_images, new_images)}
        judgment = judge(towers)
    vectors = {TEXTS: (old_texts, new_texts), IMAGES: (old_images, new_images)}
    with progress.stage("explain", "by how alike the vectors are, if a re-import is needed"):
        findings = {name: _explain(*vectors[name]) for name, figures in towers.items() if directions(figures)[0]}
    repeated = {TEXTS: texts.repeated, IMAGES: images.repeated}
    return TowerComparison(manifest, repeated, images.source, towers, judgment, findings)


def _embed_texts(
    both: tuple[VectorsClient, VectorsClient], texts: Sequence[str], progress: Progress
) -> tuple[Vectors, Vectors]:
    """The old and the new vectors, (texts, old dim) and (texts, new dim)."""
    pairs = [[_text_vector(client, text) for client in both] for text in counted(texts, "texts embedded", progress)]
    return np.stack([old for old, _ in pairs]), np.stack([new for _, new in pairs])


def _embed_images(
    both: tuple[VectorsClient, VectorsClient], images: Sequence[OwnImage], progress: Progress
) -> tuple[Vectors, Vectors]:
    """The old and the new vectors, (images, old dim) and (images, new dim)."""
    pairs = []
    for image in counted(images, "images embedded", progress):
        body = {IMAGES: [image.base64]}
        pairs.append([client.vector(VECTORIZE, body, _only_image, repr(image.name)) for client in both])
    return np.stack([old for old, _ in pairs]), np.stack([new for _, new in pairs])


def _text_vector(client: VectorsClient, text: str) -> Vectors:
    return client.vector(VECTORIZE, {TEXTS: [text]}, _only_text, repr(clip(text, CLIPPED_TEXT)))


def _only_text(answer: Mapping[str, Sequence[Sequence[float]]]) -> Sequence[float]:
    (vector,) = answer["textVectors"]
    return vector


def _only_image(answer: Mapping[str, Sequence[Sequence[float]]]) -> Sequence[float]:
    (vector,) = answer["imageVectors"]
    return vector


def _explain(old: Vectors, new: Vectors) -> tuple[Finding, ...]:
    """By the vectors alone: there are no hypotheses about how another container embeds with the same model."""
    indices = sample(old, new)
    return find_causes(Experiment(old[indices], None, _no_trial, enough=MIN_COSINE_P1), None, new[indices])


def _no_trial(hypothesis: Hypothesis) -> Vectors:
    raise AssertionError("without a hypothesis, nothing is tried")
