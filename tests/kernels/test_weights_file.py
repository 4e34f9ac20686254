"""Weights and tables that are stored as external data: read in place, and refused where they are not whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto

from tests.support.graphs.kernel_ops import graph, options, run
from tests.support.graphs.op_inputs import linear


class TestWeightsFile:
    """A weight or table that is stored as external data."""

    @staticmethod
    def saved(directory: Path, offset: int = 0, name: str = "weight") -> Path:
        model = graph("Linear", linear(), tuple(name for name in linear() if name != "x"))
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        (directory / "weights").write_bytes(bytes(offset) + tensor.raw_data)
        length = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "weights"), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        onnx.save(model, directory / "model.onnx")
        return directory / "model.onnx"

    def session(self, path: Path) -> ort.InferenceSession:
        return ort.InferenceSession(str(path), options(), providers=["CPUExecutionProvider"])

    @pytest.mark.parametrize(("name", "offset"), [("weight", 0), ("weight", 4096), ("scale", 4096 + 4), ("sums", 64)])
    def test_aligned_data_is_read_in_place(self, tmp_path, name, offset):
        inputs = linear()
        actual = self.session(self.saved(tmp_path, offset, name)).run(None, {"x": inputs["x"]})[0]
        np.testing.assert_array_equal(actual, run("Linear", inputs))

    @pytest.mark.parametrize(
        ("name", "offset", "multiple"),
        [("weight", 4097, 64), ("weight", 4096 + 32, 64), ("scale", 4096 + 2, 4), ("bias", 4097, 4)],
    )
    def test_misaligned_data_is_refused(self, tmp_path, name, offset, multiple):
        path = self.saved(tmp_path, offset, name)
        sentence = f"{name} must be aligned to {multiple} bytes: store it as external data"
        with pytest.raises(Exception, match=sentence):
            self.session(path)

    @pytest.mark.parametrize("lost", [1, 64, 640])
    @pytest.mark.parametrize("offset", [0, 4096])
    def test_truncated_weights_are_refused(self, tmp_path, offset, lost):
        path = self.saved(tmp_path, offset)
        weights = tmp_path / "weights"
        weights.write_bytes(weights.read_bytes()[:-lost])
        with pytest.raises(Exception, match="weight"):
            self.session(path)

    def test_missing_weights_are_refused(self, tmp_path):
        path = self.saved(tmp_path)
        (tmp_path / "weights").unlink()
        with pytest.raises(Exception, match="weight"):
            self.session(path)
