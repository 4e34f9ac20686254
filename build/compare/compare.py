"""Compares a running container with a new bundle on the user's own texts: the steps, in order."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from build.compare.causes import Experiment, Finding, Vectors, fewer_components, find_causes, sample
from build.compare.client import Container, connect
from build.compare.figures import Figures, measure
from build.compare.hypotheses import Hypothesis, pooled_by
from build.compare.sides import NOT_EXPLAINED, NewSide, counted, manifest_of, opened
from build.compare.texts import read_texts
from build.compare.variant_bundle import write_variant
from build.compare.verdict import MIN_COSINE_P1, Judgment, Verdict, judge
from build.fidelity.client import VectorsClient
from build.progress import Progress
from manifest import Manifest, PoolingMode, Section, Task, TextModel

STAGES = ("embed", "measure", "explain")
"""The stages of a comparison, in order."""


class Strategy(StrEnum):
    """What a request's ``pooling_strategy`` can be."""

    MASKED_MEAN = "masked_mean"
    """Weaviate's default, which stands for the model's own pooling."""
    CLS = "cls"


@dataclass(frozen=True)
class CompareOptions:
    """What to compare, and how to ask for vectors."""

    old: Container
    new: NewSide
    texts: Path
    task: Task | None
    """The ``task_type`` that Weaviate sends with each text; None: none."""
    strategy: Strategy
    """The ``pooling_strategy`` that Weaviate sends with each text."""
    seconds: float
    """The limit for one answer."""

    @property
    def config(self) -> dict[str, str]:
        """The ``config`` of each request."""
        return {"pooling_strategy": str(self.strategy), **self.task_config}

    @property
    def task_config(self) -> dict[str, str]:
        """The ``config`` of a request that leaves pooling to the bundle."""
        return {} if self.task is None else {"task_type": str(self.task)}


@dataclass(frozen=True)
class Comparison:
    """The result: what was measured, the verdict, and why the vectors differ."""

    manifest: Manifest | None
    """The new bundle's; None where the new side is a running container."""
    repeated: int
    """The number of repeated lines that were left out."""
    figures: Figures
    judgment: Judgment
    findings: tuple[Finding, ...]
    """Empty where the verdict needs no explanation."""


def compare(options: CompareOptions, progress: Progress) -> Comparison:
    """Request all vectors from both, measure, judge. Raises ``BuildError`` or ``BundleError``."""
    with closing(connect(options.old, options.seconds)) as old_container:
        manifest = manifest_of(options.new)
        own = read_texts(options.texts)
        with progress.stage("embed", f"{len(own.texts)} texts, by {options.old} and by {options.new}"):
            old, new = _embed_both(options, old_container, own.texts, progress)
    with progress.stage("measure", "cosines, lengths, neighbors"):
        figures = measure(own.texts, old, new)
        judgment = judge(figures)
    findings: tuple[Finding, ...] = ()
    with progress.stage("explain", "testing hypotheses on the bundle, if a re-import is needed"):
        if judgment.verdict is Verdict.REIMPORT:
            if manifest is None or isinstance(options.new, Container):
                findings = fewer_components(old, new)
                judgment = replace(judgment, notes=(*judgment.notes, NOT_EXPLAINED))
            else:
                findings = _explain(options, options.new, manifest, own.texts, old, new)
    return Comparison(manifest, own.repeated, figures, judgment, findings)


def _embed_both(
    options: CompareOptions, old_container: VectorsClient, texts: tuple[str, ...], progress: Progress
) -> tuple[Vectors, Vectors]:
    """The old and the new vectors, (texts, old dim) and (texts, new dim)."""
    old, new = [], []
    # NOTE: a wrong address is reported before a large model is loaded.
    old_container.embed({"text": texts[0], "config": options.config})
    with opened(options.new, options.seconds) as new_container:
        for text in counted(texts, "embedded", progress):
            request = {"text": text, "config": options.config}
            old.append(old_container.embed(request))
            new.append(new_container.embed(request))
    return np.stack(old), np.stack(new)


def _explain(
    options: CompareOptions, bundle: Path, manifest: Manifest, texts: tuple[str, ...], old: Vectors, new: Vectors
) -> tuple[Finding, ...]:
    indices = sample(old, new)
    tried = [texts[index] for index in indices]

    def embed(hypothesis: Hypothesis) -> Vectors:
        with tempfile.TemporaryDirectory(prefix="cpu2vec-compare-") as folder:
            write_variant(bundle, manifest, hypothesis.model, Path(folder))
            with opened(Path(folder), options.seconds, {"LONG_TEXT": hypothesis.long_text}) as container:
                # The variant declares its pooling, so that the request must not.
                return np.stack([container.embed({"text": text, "config": options.task_config}) for text in tried])

    experiment = Experiment(old[indices], options.task, embed, enough=MIN_COSINE_P1)
    return find_causes(experiment, _declared(manifest.section, options.strategy), new[indices])


def _declared(section: Section, strategy: Strategy) -> Hypothesis | None:
    """How the bundle embeds; None for a static model, which has nothing that other containers do differently."""
    if not isinstance(section, TextModel):
        return None
    return Hypothesis(pooled_by(section, PoolingMode.CLS) if strategy is Strategy.CLS else section)
