"""The graph by which the runtime finds out whether signed weights saturate is as documented."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.paths import ROOT

FILE = ROOT / "runtime" / "inference" / "saturation.onnx"
WIDTH, LARGEST = 32, 127


def test_the_file_holds_one_integer_product_with_weights_that_overflow_16_bits():
    model = onnx.load(FILE)
    onnx.checker.check_model(model, full_check=True)
    weights = np.full((WIDTH, WIDTH), LARGEST, dtype=np.int8)
    expected = helper.make_graph(
        [helper.make_node("MatMulInteger", ["activations", "weights"], ["products"])],
        model.graph.name,
        [helper.make_tensor_value_info("activations", TensorProto.UINT8, ["rows", WIDTH])],
        [helper.make_tensor_value_info("products", TensorProto.INT32, ["rows", WIDTH])],
        [numpy_helper.from_array(weights, "weights")],
    )
    assert model.graph == expected


def test_its_sums_overflow_16_bits():
    """Sums of two products of an unsigned and a signed byte, as x86 without VNNI computes them (vpmaddubsw)."""
    assert np.iinfo(np.int16).max < 2 * 255 * LARGEST
    assert WIDTH % 4 == 0


def test_onnxruntime_can_run_it_wherever_the_runtime_can():
    model = onnx.load(FILE)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version <= 10
