"""Builds with native kernels: which graphs are native, why others are not, and what is measured."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest

from build.fidelity.cpu_classes import EXACT_INTEGERS, PER_TOKEN, plan_verification
from build.fidelity.report import FidelityReport
from build.kinds.text import stock_reasons
from build.pipeline import BuildOptions, BuildResult, build_bundle
from build.precisions import PRECISIONS
from build.progress import Progress
from build.quantization.quantize import quantize
from build.summary import summary
from manifest import Layout, OpSet, Precision, Target, from_json
from tests.support.bundles.unverified import Unverified, unverified
from tests.support.graphs.native_graphs import NATIVE_MODELS, exported
from tests.support.models import tiny_models
from tests.support.models.model_table import LARGE_DOCUMENT, SMALL_QUERY
from tests.support.models.tiny_description import Routes, TinyModel

pytestmark = pytest.mark.slow

NATIVE = OpSet("cpu2vec", 7)
BERT = NATIVE_MODELS[0]
T5 = TinyModel("stock-t5", "t5", "t5", "T5EncoderModel")
TWO = TinyModel("native-router", "bert", "bert", "BertModel", router=Routes(SMALL_QUERY, LARGE_DOCUMENT))
MIXED = TinyModel("mixed-router", "bert", "bert", "BertModel", router=Routes(T5, BERT))


def make(model: TinyModel, output: Path, precision: Precision = Precision.INT8) -> Unverified:
    return unverified(tiny_models.make(model), output, precision)


def line(made: Unverified, stage: str) -> str:
    return next(row for row in made.lines.splitlines() if f" {stage}: " in row).partition(f"{stage}: ")[2]


def test_a_native_graph_is_not_optimized_again(tmp_path: Path):
    made = make(BERT, tmp_path / "bundle")
    assert (line(made, "quantize"), line(made, "optimize")) == ("int8 for amd64", "nothing to do")
    (graph,) = made.manifest.section.graphs.values()
    assert (graph.layout, graph.ops, stock_reasons(made.assembled.transformers)) == (Layout.PACKED, NATIVE, {})


def test_memory_is_that_of_the_native_kernels(tmp_path: Path):
    native, stock = (
        make(BERT, tmp_path / precision, precision).manifest.section.main_encoder.memory
        for precision in (Precision.INT8, Precision.INT8_STOCK)
    )
    assert native.per_pair == 0 < stock.per_pair


def test_another_family_is_quantized_for_onnxruntime_with_a_reason(tmp_path: Path):
    made = make(T5, tmp_path / "bundle")
    assert line(made, "quantize") == "int8 for amd64 in onnxruntime's own kernels: the native kernels do not support t5"
    assert line(made, "optimize") == "graph"
    (graph,) = made.manifest.section.graphs.values()
    assert (graph.layout, graph.ops) == (Layout.PADDED, None)
    assert stock_reasons(made.assembled.transformers) == {"model": "the native kernels do not support t5"}
    assert made.manifest.precision is Precision.INT8


@pytest.mark.parametrize("precision", [Precision.INT8_STOCK, Precision.FP32])
def test_a_precision_without_native_kernels_has_none_and_gives_no_reason(precision: Precision, tmp_path: Path):
    made = make(BERT, tmp_path / "bundle", precision)
    assert line(made, "quantize") == f"{precision} for amd64"
    (graph,) = made.manifest.section.graphs.values()
    assert (graph.layout, graph.ops, stock_reasons(made.assembled.transformers)) == (Layout.PADDED, None, {})


def test_stock_int8_uses_onnxruntimes_integer_products(tmp_path: Path):
    made = make(BERT, tmp_path / "bundle", Precision.INT8_STOCK)
    found = {node.op_type for node in onnx.load(made.bundle / "model.onnx", load_external_data=False).graph.node}
    assert found & {"MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
    alone = quantize(exported(BERT).graph, tmp_path)
    assert {node.domain for node in onnx.load(alone, load_external_data=False).graph.node} == {""}


def test_fp32_has_no_weights_in_integers(tmp_path: Path):
    made = make(BERT, tmp_path / "bundle", Precision.FP32)
    graph = onnx.load(made.bundle / "model.onnx", load_external_data=False).graph
    assert onnx.TensorProto.INT8 not in {tensor.data_type for tensor in graph.initializer}
    assert not [node.op_type for node in graph.node if "Integer" in node.op_type or "Quantize" in node.op_type]


def test_each_route_has_a_native_graph_of_its_own(tmp_path: Path):
    made = make(TWO, tmp_path / "bundle")
    graphs = made.manifest.section.graphs
    assert len(graphs) == 2
    assert {graph.ops for graph in graphs.values()} == {NATIVE}
    assert graphs["query"].inputs == ("input_ids", "lengths", "pooled")
    assert graphs["document"].inputs == ("input_ids", "lengths", "rows", "pooled")  # it pools by the first token
    weights = [(made.bundle / graph.weights).read_bytes() for graph in graphs.values()]
    assert weights[0] != weights[1]


def test_one_of_two_routes_can_be_native(tmp_path: Path):
    made = make(MIXED, tmp_path / "bundle")
    text = made.manifest.section
    ops = {name: graph.ops for name, graph in text.graphs.items()}
    assert sorted(ops.values(), key=str) == [None, NATIVE]
    (stock,) = (name for name, used in ops.items() if used is None)
    assert stock_reasons(made.assembled.transformers) == {stock: "the native kernels do not support t5"}
    spec = PRECISIONS[Precision.INT8]
    table = summary(BuildResult(made.manifest, 0, made.assembled.summary, ()), made.bundle)
    assert f"  native; onnxruntime's own for {stock}, because the native kernels do not support t5\n" in table
    assert plan_verification(text.graphs, spec.stock_class, 0).cpu_class == PER_TOKEN


def test_the_report_has_what_was_measured(tmp_path: Path):
    options = BuildOptions(
        str(tiny_models.make(BERT)), None, Target.AMD64, Precision.INT8, tmp_path / "bundle", force=False
    )
    result = build_bundle(options, Progress(stream=io.StringIO()))
    report = from_json(FidelityReport, (tmp_path / "bundle" / "fidelity.json").read_text(), "fidelity.json").cosine
    assert [found.cpu_class for found in report.classes] == [PER_TOKEN]
    assert result.manifest.fidelity.cosine == report.classes[0].figures
    assert np.mean([one.cosine for one in report.texts]) == pytest.approx(result.manifest.fidelity.cosine.mean)
    assert "kernels     native\n" in summary(result, tmp_path / "bundle")


def test_the_report_says_why_graphs_are_not_native(tmp_path: Path):
    options = BuildOptions(
        str(tiny_models.make(T5)), None, Target.AMD64, Precision.INT8, tmp_path / "bundle", force=False
    )
    result = build_bundle(options, Progress(stream=io.StringIO()))
    report = from_json(FidelityReport, (tmp_path / "bundle" / "fidelity.json").read_text(), "fidelity.json")
    assert report.stock_kernels == {"model": "the native kernels do not support t5"}
    assert [found.cpu_class for found in report.cosine.classes] == [EXACT_INTEGERS]
    page = (tmp_path / "bundle" / "fidelity.html").read_text()
    assert "the native kernels do not support t5" in page
    assert "kernels     onnxruntime's own, because the native kernels do not support t5\n" in summary(result, Path("b"))
