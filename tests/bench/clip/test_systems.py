"""Models of texts and images under load, with this project's runtime as a real process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench.clip.loads import CLIP_LOADS, PHOTO
from bench.clip.original import OriginalTowers, clip_vectors
from bench.environment import RUNTIME_ENVIRONMENT
from bench.errors import LoadFailed
from bench.load.loads import Group, loads_in
from bench.server.measurement import measure
from bench.server.process import Server
from bench.server.report import render
from bench.server.results import Settings
from bench.server.runtime import serve_bundle
from bench.server.system import CPU2VEC, System
from build.model.files import ModelFiles
from manifest import Source, SourceKind
from tests.support.bundles.clips import clip_bundle, clip_model

LAYOUT = "sentence-transformers"


@pytest.fixture(scope="module")
def model() -> ModelFiles:
    return ModelFiles("tiny", Source(SourceKind.DIRECTORY, "sha256:0"), clip_model(LAYOUT))


@pytest.fixture(scope="module")
def own() -> System:
    bundle = clip_bundle(LAYOUT)
    return System(
        name=CPU2VEC,
        about="this checkout's runtime",
        environment=RUNTIME_ENVIRONMENT,
        packages=("falcon",),
        prepare=lambda model: None,
        launch=lambda model, port: serve_bundle(RUNTIME_ENVIRONMENT, bundle, port),
    )


@pytest.fixture(scope="module")
def original(model: ModelFiles) -> OriginalTowers:
    return clip_vectors(model.directory)


def test_texts_and_images_are_measured_over_both_kinds_of_connections(
    model: ModelFiles, own: System, original: OriginalTowers
):
    chosen = [load for load in loads_in(CLIP_LOADS, {Group.KEPT, Group.WEAVIATE}) if load.in_flight == 8]
    # PERF: it takes seconds to draw photographs.
    chosen = [load for load in chosen if load.length is not PHOTO or load.group is Group.KEPT]
    loads = [replace(load, requests=2) for load in chosen]
    settings = Settings(rounds=1, seconds=1.0, starts=1, idle_seconds=0.05)
    results = measure([own], model, loads, lambda directory: original, settings, lambda line: None)
    (ours,) = results.systems
    assert ours.fidelity is not None
    assert ours.fidelity.cosine is not None
    assert ours.fidelity.cosine.minimum > 0.9999
    assert ours.samples.keys() == {load.name for load in loads}
    assert len(ours.samples) == 5
    assert not any(sample.lost for (sample,) in ours.samples.values())
    shown = render(results)
    for what in ("6–20 words", "a JPEG of 640 × 480", "a JPEG of 12 megapixels"):
        assert f"{what}, 8 connections" in shown


@pytest.fixture(scope="module")
def server(model: ModelFiles, own: System) -> Iterator[Server]:
    server = own.start(model)
    yield server
    server.stop()


def test_images_that_are_another_models_are_seen(server: Server, original: OriginalTowers):
    other = replace(original, image_vectors=original.image_vectors[::-1].copy())
    cosine = other.compare(server.port).cosine
    assert cosine is not None
    assert cosine.minimum < 0.999


def test_vectors_of_another_size_end_the_measurement(server: Server, original: OriginalTowers):
    other = replace(original, text_vectors=original.text_vectors[:, :5], image_vectors=original.image_vectors[:, :5])
    with pytest.raises(LoadFailed, match="the vectors must have 5 components"):
        other.compare(server.port)
