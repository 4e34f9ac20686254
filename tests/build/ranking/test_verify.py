"""A reranker that means something through the gate."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from build.errors import FidelityTooLow
from build.fidelity.thresholds import ThresholdOverrides
from build.pipeline import BuildOptions, build_bundle
from build.progress import Progress
from build.ranking.heldout import heldout_queries
from manifest import (
    FIDELITY_FILE,
    FIDELITY_PAGE_FILE,
    GOLDEN_FILE,
    Layout,
    Precision,
    RerankModel,
    Target,
    read_manifest,
)
from tests.support.bundles.kinds import rerank_bundle
from tests.support.models import tiny_models
from tests.support.models.tiny_rerankers import RERANKERS

pytestmark = pytest.mark.slow


def build(model: Path, output: Path, **thresholds: float) -> None:
    options = BuildOptions(
        str(model), None, Target.AMD64, Precision.INT8, output, force=False, thresholds=ThresholdOverrides(thresholds)
    )
    build_bundle(options, Progress(stream=io.StringIO()))


@pytest.fixture(scope="module")
def bundle() -> Path:
    return rerank_bundle()


def test_int8_keeps_the_ranking_on_native_kernels(bundle: Path):
    manifest = read_manifest(bundle)
    assert manifest.section_as(RerankModel).graph.layout is Layout.PACKED
    assert manifest.fidelity is not None
    assert manifest.fidelity.cosine is None
    scores = manifest.fidelity.scores
    assert scores is not None
    assert scores.count == sum(len(query.documents) for query in heldout_queries())
    assert scores.rank_agreement >= 0.95
    assert scores.top_kept >= 0.9
    assert scores.error_rms <= 0.03


def test_the_report_has_the_figures_of_each_class(bundle: Path):
    report = json.loads((bundle / FIDELITY_FILE).read_text())
    assert report["cosine"] is None
    classes = report["scores"]["classes"]
    assert classes
    assert all(found["figures"]["error_rms"] <= found["thresholds"]["error_rms"] for found in classes)
    assert len(report["scores"]["worst"]) == 10
    assert report["weight_records"]
    assert report["stock_kernels"] == {}
    assert "Passed" in (bundle / FIDELITY_PAGE_FILE).read_text()


def test_golden_requests_are_about_logits(bundle: Path):
    requests = json.loads((bundle / GOLDEN_FILE).read_text())["requests"]
    assert [len(request["answer"]["scores"]) for request in requests] == [3, 1, 1]
    assert all(request["body"]["raw_scores"] and request["tolerance"]["max_error"] > 0 for request in requests)


def test_random_weights_fail_the_gate_and_pass_without_thresholds(tmp_path: Path):
    model = tiny_models.make(RERANKERS[0])
    with pytest.raises(FidelityTooLow, match="build with --precision fp32, or change the threshold deliberately with"):
        build(model, tmp_path / "strict", rank_agreement=1.0)
    assert not (tmp_path / "strict").exists()
    build(model, tmp_path / "any", rank_agreement=0, top_kept=0, error_rms=1e9)
    assert read_manifest(tmp_path / "any").precision is Precision.INT8
