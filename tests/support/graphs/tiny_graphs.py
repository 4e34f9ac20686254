"""Makes small ONNX graphs, node by node, for tests of what rewrites them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

Step = tuple[str, list[str], str] | tuple[str, list[str], str, dict[str, Any]]
"""Op, inputs, output and attributes; the node has its output's name."""

OUTPUT = "last_hidden_state"


def a_model(
    steps: Sequence[Step],
    weights: Mapping[str, NDArray[Any]],
    inputs: Sequence[str] = ("x",),
    outputs: Sequence[str] = (OUTPUT,),
) -> ModelProto:
    """``inputs`` are token ids where the name ends in «ids» or «mask», else fp32; so are weights, unless integers."""
    graph = helper.make_graph(
        [helper.make_node(op, read, [made], f"/{made}", **dict(*rest)) for op, read, made, *rest in steps],
        "tiny",
        [helper.make_tensor_value_info(name, _kind(name), None) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(_narrow(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def constant(values: Any, output: str) -> Step:
    """A node that holds fp32 ``values``."""
    return ("Constant", [], output, {"value": numpy_helper.from_array(np.asarray(values, dtype=np.float32))})


def written(model: ModelProto, path: Path, outside: bool = False) -> Path:
    """The graph on disk, with all weights beside it if ``outside``. The model itself stays as it is."""
    copy = ModelProto()
    copy.CopyFrom(model)
    data = f"{path.name}.data"
    onnx.save(copy, path, save_as_external_data=outside, location=data, size_threshold=0, convert_attribute=True)
    return path


def session_of(graph: Path) -> ort.InferenceSession:
    """With products that do not saturate on any CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def _kind(name: str) -> int:
    return TensorProto.INT64 if name.endswith(("ids", "mask")) else TensorProto.FLOAT


def _narrow(value: NDArray[Any]) -> NDArray[Any]:
    value = np.asarray(value)
    return value if value.dtype.kind == "i" else value.astype(np.float32)
