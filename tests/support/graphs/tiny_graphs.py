"""Small ONNX graphs, made node by node, for tests of what reads or rewrites them."""

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
"""A node: op, inputs, output and attributes. Its name is the output's after a slash."""

OUTPUT = "last_hidden_state"


def a_model(
    steps: Sequence[Step],
    weights: Mapping[str, NDArray[Any]],
    inputs: Sequence[str] = ("x",),
    outputs: Sequence[str] = (OUTPUT,),
) -> ModelProto:
    """Make a model of ``steps``; inputs whose name ends in "ids" or "mask" are int64, other inputs fp32.

    Weights are fp32, unless they are integers.
    """
    graph = helper.make_graph(
        [helper.make_node(op, read, [made], f"/{made}", **dict(*rest)) for op, read, made, *rest in steps],
        "tiny",
        [helper.make_tensor_value_info(name, _kind(name), None) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(_narrow(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def constant(values: Any, output: str) -> Step:
    """Return a Constant node that holds fp32 ``values``."""
    return ("Constant", [], output, {"value": numpy_helper.from_array(np.asarray(values, dtype=np.float32))})


def gelu(read: str, made: str, half: str) -> list[Step]:
    """Return the nodes in which exporters write GELU, x/2 (1 + erf(x / sqrt 2)); ``half`` names what holds 1/2."""
    return [
        constant(2**0.5, "root"),
        ("Div", [read, "root"], "quotient"),
        ("Erf", ["quotient"], "error"),
        constant([1.0], "one"),
        ("Add", ["error", "one"], "sum"),
        ("Mul", [read, "sum"], "doubled"),
        ("Mul", ["doubled", half], made),
    ]


def written(model: ModelProto, path: Path, external: bool = False) -> Path:
    """Write a copy of the model to ``path``, with all weights in a file beside it if ``external``."""
    copy = ModelProto()
    copy.CopyFrom(model)
    data = f"{path.name}.data"
    onnx.save(copy, path, save_as_external_data=external, location=data, size_threshold=0, convert_attribute=True)
    return path


def session_of(graph: Path) -> ort.InferenceSession:
    """Open a graph so that its products saturate on no CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def _kind(name: str) -> int:
    return TensorProto.INT64 if name.endswith(("ids", "mask")) else TensorProto.FLOAT


def _narrow(value: NDArray[Any]) -> NDArray[Any]:
    value = np.asarray(value)
    return value if value.dtype.kind == "i" else value.astype(np.float32)
