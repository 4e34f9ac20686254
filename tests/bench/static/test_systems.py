"""The servers of static models: this project's runtime and its HTTP server alone, as real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.bundles import unverified_bundle
from bench.environment import RUNTIME_ENVIRONMENT
from bench.load.loads import Group, loads_in
from bench.server.fidelity import served_vectors, vectors_by
from bench.server.measurement import measure
from bench.server.report import render
from bench.server.results import Settings
from bench.server.runtime import serve_bundle
from bench.server.system import CPU2VEC, STUB, System
from bench.static.loads import STATIC_LOADS
from bench.static.original import model2vec_vectors
from bench.static.systems import http_server_alone
from build.model.files import ModelFiles
from build.precisions import PRECISIONS
from manifest import Precision, Source, SourceKind
from tests.support.models.static_models import WIDTH, own_layout, wordpiece

TEXTS = ["The ferry to the island", "leaves at seven", ""]


@pytest.fixture
def model(tmp_path: Path) -> ModelFiles:
    directory = own_layout(tmp_path / "model", wordpiece())
    return ModelFiles("tiny", Source(SourceKind.DIRECTORY, "sha256:0"), directory)


def test_a_model_is_measured_beside_the_http_server_alone(model: ModelFiles, tmp_path: Path):
    bundle = unverified_bundle(str(model.directory), PRECISIONS[Precision.STORED], tmp_path / "bundle")
    own = System(
        name=CPU2VEC,
        about="this checkout's runtime",
        environment=RUNTIME_ENVIRONMENT,
        packages=("falcon",),
        prepare=lambda model: None,
        launch=lambda model, port: serve_bundle(RUNTIME_ENVIRONMENT, bundle, port),
    )
    loads = [load for load in loads_in(STATIC_LOADS, {Group.KEPT, Group.WEAVIATE}) if load.in_flight in (1, 160)]
    settings = Settings(rounds=1, seconds=0.05, starts=1, idle_seconds=0.05)
    systems = (own, http_server_alone(WIDTH))
    original = vectors_by(model2vec_vectors, lambda: TEXTS)
    results = measure(systems, model, loads, original, settings, lambda line: None)

    ours, stub = results.systems
    assert ours.fidelity is not None
    assert ours.fidelity.cosine is not None
    assert ours.fidelity.cosine.minimum > 1 - 1e-6
    assert stub.fidelity is None
    assert ours.samples.keys() == stub.samples.keys() == {load.name for load in loads}
    assert not any(sample.lost for system in (ours, stub) for (sample,) in system.samples.values())
    assert f"{CPU2VEC} beside {STUB}" in render(results)


def test_the_http_server_alone_has_one_vector_for_all_texts(model: ModelFiles):
    server = http_server_alone(5).start(model)
    try:
        vectors = served_vectors(server.port, ["one", "another", ""])
    finally:
        server.stop()
    assert vectors.tolist() == [[-1, -0.5, 0, 0.5, 1]] * 3
