"""Compares a running container with a new bundle on a user's own texts: the steps, in order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from tqdm import tqdm

from build.compare.causes import Finding, Vectors, find_causes, sample
from build.compare.client import VectorsClient, parse_address
from build.compare.figures import Figures, measure
from build.compare.hypotheses import CHUNK, Way, pooled_by
from build.compare.texts import read_texts
from build.compare.variant_bundle import write_variant
from build.compare.verdict import MIN_COSINE_P1, Judgement, Verdict, judge
from build.fidelity.runtime_process import serve
from build.progress import Progress
from manifest import Manifest, PoolingMode, Task, TextModel, read_manifest

STAGES = ("ask", "measure", "explain")


class Strategy(StrEnum):
    """What a request's ``pooling_strategy`` can be; the first stands for the model's own pooling."""

    MASKED_MEAN = "masked_mean"
    CLS = "cls"


@dataclass(frozen=True)
class Order:
    """``task`` and ``strategy`` are what Weaviate sends with each text; ``seconds``: how long an answer may take."""

    old: str
    token: str | None
    bundle: Path
    texts: Path
    task: Task | None
    strategy: Strategy
    seconds: float

    @property
    def config(self) -> dict[str, str]:
        """Of the request for a text."""
        return {"pooling_strategy": str(self.strategy), **self.task_config}

    @property
    def task_config(self) -> dict[str, str]:
        return {} if self.task is None else {"task_type": str(self.task)}


@dataclass(frozen=True)
class Outcome:
    """``repeated`` lines were left out. ``findings`` is empty where the verdict needs no explanation."""

    manifest: Manifest
    repeated: int
    figures: Figures
    judgement: Judgement
    findings: tuple[Finding, ...]


def compare(order: Order, progress: Progress) -> Outcome:
    """Ask both, measure, judge. Raises ``BuildError`` or ``BundleError``."""
    parse_address(order.old)  # NOTE: before it is shown, because it may hold a password.
    manifest = read_manifest(order.bundle)
    own = read_texts(order.texts)
    with progress.stage("ask", f"{len(own.texts)} texts of {order.old} and of {order.bundle}"):
        old, new = _ask_both(order, own.texts, progress.bars)
    with progress.stage("measure", "cosines, lengths, neighbours"):
        figures = measure(own.texts, old, new)
        judgement = judge(figures)
    findings: tuple[Finding, ...] = ()
    with progress.stage("explain", "asking the bundle in other ways, where the verdict needs a reason"):
        if judgement.verdict is Verdict.REIMPORT:
            findings = _explain(order, manifest, own.texts, old, new)
    return Outcome(manifest, own.repeated, figures, judgement, findings)


def _ask_both(order: Order, texts: tuple[str, ...], bars: bool) -> tuple[Vectors, Vectors]:
    """(texts, old dim) and (texts, new dim)."""
    before, after = [], []
    with closing(VectorsClient("the old container", order.old, order.token, order.seconds)) as old:
        # NOTE: what is wrong with the address is told before a large model is loaded.
        old.embed(texts[0], order.config)
        with _served(order.bundle, CHUNK, order) as new:
            for text in tqdm(texts, desc="Asked", unit="text", disable=not bars):
                before.append(old.embed(text, order.config))
                after.append(new.embed(text, order.config))
    return np.stack(before), np.stack(after)


def _explain(
    order: Order, manifest: Manifest, texts: tuple[str, ...], old: Vectors, new: Vectors
) -> tuple[Finding, ...]:
    places = sample(old, new)
    tried = [texts[place] for place in places]

    def ask(way: Way) -> Vectors:
        with tempfile.TemporaryDirectory(prefix="cpu2vec-compare-") as folder:
            write_variant(order.bundle, manifest, way.model, Path(folder))
            with _served(Path(folder), way.long_text, order) as client:
                # The way says how to pool, so that the request does not.
                return np.stack([client.embed(text, order.task_config) for text in tried])

    asked_for_cls = order.strategy is Strategy.CLS
    text = manifest.section_as(TextModel)
    way = Way(pooled_by(text, PoolingMode.CLS) if asked_for_cls else text)
    return find_causes(old[places], new[places], way, order.task, ask, enough=MIN_COSINE_P1)


@contextmanager
def _served(bundle: Path, long_text: str, order: Order) -> Iterator[VectorsClient]:
    """The bundle as a container serves it."""
    with (
        serve(bundle, settings={"LONG_TEXT": long_text}) as runtime,
        closing(VectorsClient("the new container", runtime.address, None, order.seconds)) as client,
    ):
        yield client
