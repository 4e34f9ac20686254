"""The gate, on a reranker that means something: the default model's encoder, taught the default model's cosines."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from build.pipeline import BuildOptions, build_bundle
from build.progress import Progress
from manifest import FIDELITY_FILE, GOLDEN_FILE, Layout, Precision, RerankModel, Target, read_manifest
from tests.support.bundles.cache import cached
from tests.support.models.taught_reranker import taught_reranker

pytestmark = pytest.mark.slow


def build(output: Path, precision: Precision) -> None:
    options = BuildOptions(str(taught_reranker()), None, Target.AMD64, precision, output, force=False)
    build_bundle(options, Progress(stream=io.StringIO()))


@pytest.fixture(scope="module")
def bundle() -> Path:
    """In int8, with the default thresholds."""
    return cached("taught-reranker-int8", lambda output: build(output, Precision.INT8))


def test_int8_keeps_the_ranking_on_native_kernels(bundle: Path):
    manifest = read_manifest(bundle)
    assert manifest.section_as(RerankModel).graph.layout is Layout.PACKED
    assert manifest.fidelity is not None
    assert manifest.fidelity.cosine is None
    scores = manifest.fidelity.scores
    assert scores is not None
    assert scores.count == 256
    assert scores.rank_agreement >= 0.95
    assert scores.top_kept >= 0.95


def test_the_report_has_the_figures_of_each_class(bundle: Path):
    report = json.loads((bundle / FIDELITY_FILE).read_text())
    assert report["cosine"] is None
    figures = [entry["figures"] for entry in report["scores"]]
    assert figures
    assert all(found["error_rms"] <= 0.05 for found in figures)
    assert report["weight_records"]
    assert report["stock_kernels"] == {}


def test_golden_requests_are_about_logits(bundle: Path):
    requests = json.loads((bundle / GOLDEN_FILE).read_text())["requests"]
    assert [len(request["answer"]["scores"]) for request in requests] == [3, 1, 1]
    assert all(request["body"]["raw_scores"] and request["tolerance"]["max_error"] > 0 for request in requests)
