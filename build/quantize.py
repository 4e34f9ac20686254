"""Fourth stage: signed 8-bit weights in matrix products, one scale per output channel; the rest stays fp32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from build.recipes import Recipe
from build.weights import WeightsFile, content, load_graph

QUANTIZED = "quantized.onnx"
STEPS = 127
"""A weight becomes one of -127 … 127 steps: symmetric, so that the zero point is 0."""


def quantize(graph: Path, work: Path, recipe: Recipe) -> Path:
    """The path of the graph with the recipe's weights: ``graph`` itself where the recipe keeps fp32.

    Per channel, because one scale for a whole matrix costs most of the fidelity (cosine 0.958 instead of 0.993 on
    all-MiniLM-L6-v2); activations get their scale at run time, from each text alone.

    NOTE: nodes, names and numbers are those of onnxruntime's ``quantize_dynamic(op_types_to_quantize=["MatMul"],
    per_channel=True, weight_type=QInt8)``. That one holds all weights three times; this one holds a single matrix.
    """
    if not recipe.quantize:
        return graph
    model = load_graph(graph)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    _sign(model)
    matrices = {name for name, tensor in tensors.items() if _is_matrix(tensor)}
    nodes, quantized = _with_integer_products([*model.graph.node], matrices)
    read = {name for node in nodes for name in node.input}
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    with WeightsFile(work / f"{QUANTIZED}.data") as weights:
        for name, tensor in tensors.items():
            if name in read or name not in quantized:
                model.graph.initializer.append(weights.add(tensor, content(tensor, graph.parent)))
        for name in quantized:
            matrix = content(tensors[name], graph.parent).view(np.float32).reshape(tensors[name].dims)
            for suffix, array in zip(("scale", "zero_point", "quantized"), quantize_columns(matrix), strict=True):
                tensor = numpy_helper.from_array(array, f"{name}_{suffix}")
                model.graph.initializer.append(weights.add(tensor, content(tensor, work)))
    (work / QUANTIZED).write_bytes(model.SerializeToString(deterministic=True))
    return work / QUANTIZED


def quantize_columns(
    matrix: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.int8]]:
    """Scales (columns,), zero points (columns,), all 0, and steps, shaped as the matrix, of fp32 (rows, columns).

    A column that is zero, or smaller than fp32 can scale, has the scale 1.
    """
    # NOTE: twice the largest component over twice the steps, in fp64 as onnxruntime does: the same bits.
    scale = 2 * np.abs(matrix).max(axis=0).astype(np.float64) / (2 * STEPS)
    scale[scale < np.finfo(np.float32).tiny] = 1
    steps = matrix / (narrow := scale.astype(np.float32))
    np.round(steps, out=steps)
    return narrow, np.zeros(len(scale), np.int8), steps.astype(np.int8)


def _sign(model: ModelProto) -> None:
    """Mark the model as onnxruntime's quantizer does, with the shapes of all values: inferred without the weights."""
    source = model.graph
    bare = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    bare.graph.CopyFrom(GraphProto(name=source.name, node=source.node, input=source.input, output=source.output))
    for tensor in source.initializer:
        name, kind, dims = tensor.name, tensor.data_type, tensor.dims
        outside = TensorProto(name=name, data_type=kind, dims=dims, data_location=TensorProto.EXTERNAL)
        bare.graph.initializer.append(outside if kind == TensorProto.FLOAT else tensor)
    source.value_info.extend(shape_inference.infer_shapes(bare).graph.value_info)
    model.producer_name, model.producer_version = "onnx.quantize", "0.1.0"
    model.metadata_props.add(key="onnx.infer", value="onnxruntime.quant")


def _is_matrix(tensor: TensorProto) -> bool:
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2 and 0 not in tensor.dims


def _with_integer_products(nodes: list[NodeProto], matrices: set[str]) -> tuple[list[NodeProto], list[str]]:
    """The nodes with products by one of ``matrices`` in integers; names of the matrices that they read, in order."""
    rewritten: list[NodeProto] = []
    activations: set[str] = set()
    quantized: dict[str, None] = {}
    for node in nodes:
        if node.op_type != "MatMul" or node.input[1] not in matrices:
            rewritten.append(node)
            continue
        activation, matrix = node.input
        if activation not in activations:
            activations.add(activation)
            rewritten.append(_quantized_activation(activation))
        quantized[matrix] = None
        rewritten += _integer_product(node.name or node.output[0], activation, matrix, node.output[0])
    return rewritten, list(quantized)


def _quantized_activation(name: str) -> NodeProto:
    outputs = [f"{name}_quantized", f"{name}_scale", f"{name}_zero_point"]
    return helper.make_node("DynamicQuantizeLinear", [name], outputs, f"{name}_QuantizeLinear")


def _integer_product(name: str, activation: str, matrix: str, output: str) -> list[NodeProto]:
    """32-bit sums of products of steps, times both scales."""
    steps = [f"{activation}_quantized", f"{matrix}_quantized", f"{activation}_zero_point", f"{matrix}_zero_point"]
    sums, scales = f"{output}_output_quantized", f"{name}_quant_scales_mul"
    return [
        helper.make_node("MatMulInteger", steps, [sums], f"{name}_quant"),
        helper.make_node("Cast", [sums], [f"{sums}_cast_output"], f"{sums}_cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{activation}_scale", f"{matrix}_scale"], [f"{scales}:0"], scales),
        helper.make_node("Mul", [f"{sums}_cast_output", f"{scales}:0"], [output], f"{name}_quant_output_scale_mul"),
    ]
