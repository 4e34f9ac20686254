"""Rerankers under load, with this project's runtime as a real process, and what its order is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from bench.environment import RUNTIME_ENVIRONMENT
from bench.errors import LoadFailed
from bench.load.loads import Group, loads_in
from bench.rerank.loads import DOCUMENTS, SMALL_LOADS
from bench.rerank.original import OriginalScores
from bench.server.limits import LIMITS, limited_to
from bench.server.measurement import measure
from bench.server.process import Server
from bench.server.report import render
from bench.server.results import Settings
from bench.server.runtime import serve_bundle
from bench.server.system import CPU2VEC, System
from build.model.files import ModelFiles
from build.pytorch.cross_encoder import RerankReference
from build.ranking.heldout import heldout_queries
from manifest import Source, SourceKind
from tests.support.bundles.rerankers import unverified_reranker
from tests.support.models import tiny_models
from tests.support.models.tiny_rerankers import OLDER, a_reranker

TINY = a_reranker("measured-reranker", "bert", "bert", "Bert", **OLDER)
QUERIES = heldout_queries()[:2]


@pytest.fixture(scope="module")
def model() -> ModelFiles:
    directory = tiny_models.make(TINY)
    return ModelFiles("tiny", Source(SourceKind.DIRECTORY, "sha256:0"), directory)


@pytest.fixture(scope="module")
def own() -> System:
    bundle = unverified_reranker(TINY)
    return System(
        name=CPU2VEC,
        about="this checkout's runtime",
        environment=RUNTIME_ENVIRONMENT,
        packages=("falcon",),
        prepare=lambda model: None,
        launch=lambda model, port: serve_bundle(RUNTIME_ENVIRONMENT, bundle, port),
    )


@pytest.fixture(scope="module")
def original(model: ModelFiles) -> OriginalScores:
    reference = RerankReference(model.directory, 64, use_safetensors=None)
    return OriginalScores(QUERIES, [reference.logits(query.pairs).astype(np.float64) for query in QUERIES])


def test_a_reranker_is_measured_over_both_kinds_of_connections(
    model: ModelFiles, own: System, original: OriginalScores
):
    loads = [replace(load, requests=2) for load in loads_in(SMALL_LOADS, {Group.KEPT, Group.WEAVIATE})]
    settings = Settings(rounds=1, seconds=1.0, starts=1, idle_seconds=0.05)
    results = measure([own], model, loads, lambda directory: original, settings, lambda line: None)
    (ours,) = results.systems
    assert ours.fidelity is not None
    assert ours.fidelity.scores is not None
    assert ours.fidelity.scores.count == sum(len(query.documents) for query in QUERIES)
    assert ours.samples.keys() == {load.name for load in loads}
    assert not any(sample.lost for (sample,) in ours.samples.values())
    shown = render(results)
    assert "rank agreement" in shown
    assert f"{DOCUMENTS} documents of 60–120 words, 8 connections" in shown


def test_a_system_can_be_limited_to_an_instruction_set(model: ModelFiles, own: System):
    limited, usual = limited_to("avx2", own), own.launch(model, 1)
    launch = limited.launch(model, 1)
    assert launch.environment == {**usual.environment, **LIMITS["avx2"]}
    assert launch.command == usual.command
    assert limited.about == f"{own.about}, limited to avx2"


@pytest.fixture(scope="module")
def server(model: ModelFiles, own: System) -> Iterator[Server]:
    server = own.start(model)
    yield server
    server.stop()


class TestOrder:
    def test_that_is_the_originals_is_reported(self, server: Server, original: OriginalScores):
        found = original.compare(server.port).scores
        assert found is not None
        assert found.rank_agreement > 0.9

    def test_that_is_another_ends_the_measurement(self, server: Server, original: OriginalScores):
        reversed_order = replace(original, logits=[-logits for logits in original.logits])
        with pytest.raises(LoadFailed, match="the order of documents is not the original's: .* at least 0.8"):
            reversed_order.compare(server.port)
