"""Fourth stage: signed 8-bit weights in matrix products, one scale per output channel; the rest stays fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from build.graph.external_data import ExternalDataWriter, load_graph, tensor_bytes
from build.host.malloc import release_free_memory
from build.quantization.apply_scaling import scale_channels
from build.quantization.calibrated import UNCALIBRATED, CalibratedWeights
from build.quantization.linear_inputs import is_matrix
from build.quantization.rounding import quantize_per_channel, quantize_per_row

QUANTIZED = "quantized.onnx"


def quantize(graph: Path, work: Path, calibrated: CalibratedWeights = UNCALIBRATED) -> Path:
    """Write the graph with 8-bit weights below ``work`` and return its path.

    Per channel, because one scale for a whole matrix costs most of the fidelity (cosine 0.958 instead of 0.993 on
    all-MiniLM-L6-v2); activations get their scale at run time, from each text alone. What is not ``prepared`` is
    rounded to the nearest step.

    NOTE: without preparation, nodes, names and numbers are those of onnxruntime's ``quantize_dynamic(
    op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QInt8)``. That one holds all weights three times;
    this one holds a single matrix.
    """
    model = load_graph(graph)
    matrices = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer if is_matrix(tensor)}
    columns = scale_channels(model, graph.parent, calibrated.scaled)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    _sign(model)
    for name, shape in matrices.items():
        tensors[name].dims[:] = shape  # NOTE: inference needed the shapes to come; what is read is as it was.
    nodes, quantized = _with_integer_products([*model.graph.node], set(matrices))
    nodes = [part for node in nodes for part in _with_rounded_rows(node, calibrated.tables)]
    read = {name for node in nodes for name in node.input}
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    with ExternalDataWriter(work / f"{QUANTIZED}.data") as weights:

        def add(name: str, array: NDArray[Any]) -> None:
            tensor = numpy_helper.from_array(array, name)
            model.graph.initializer.append(weights.add(tensor, tensor_bytes(tensor, work)))

        for name, tensor in tensors.items():
            if name in read or name not in {*quantized, *calibrated.tables}:
                model.graph.initializer.append(weights.add(tensor, tensor_bytes(tensor, graph.parent)))
        for name in quantized:
            rounded = calibrated.quantized.get(name) or quantize_per_channel(_values(tensors[name], graph.parent))
            copies = columns.get(name, 1)
            scales = np.repeat(rounded.scales, copies)
            add(f"{name}_scale", scales)
            add(f"{name}_zero_point", np.zeros(len(scales), dtype=np.int8))
            add(f"{name}_quantized", np.repeat(rounded.values, copies, axis=1))
        for name in calibrated.tables:
            rounded = quantize_per_row(_values(tensors[name], graph.parent))
            add(f"{name}_scale", rounded.scales[:, np.newaxis])
            add(f"{name}_quantized", rounded.values)
    (work / QUANTIZED).write_bytes(model.SerializeToString(deterministic=True))
    release_free_memory()
    return work / QUANTIZED


def _values(tensor: TensorProto, directory: Path) -> NDArray[np.float32]:
    return tensor_bytes(tensor, directory).view(np.float32).reshape(tensor.dims)


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


def _with_rounded_rows(node: NodeProto, tables: tuple[str, ...]) -> list[NodeProto]:
    """A look-up of rows in one of ``tables`` as steps times the rows' scales; any other node as it is."""
    if node.op_type != "Gather" or node.input[0] not in tables:
        return [node]
    table, rows = node.input
    name, output = node.name or node.output[0], node.output[0]
    # NOTE: not «_quantized» and «_scale», which an integer product calls its activation's.
    steps, scales = f"{output}_row_steps", f"{output}_row_scales"
    return [
        helper.make_node("Gather", [f"{table}_quantized", rows], [steps], f"{name}_quant", axis=0),
        helper.make_node("Cast", [steps], [f"{steps}_cast"], f"{name}_cast", to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{table}_scale", rows], [scales], f"{name}_scale", axis=0),
        helper.make_node("Mul", [f"{steps}_cast", scales], [output], f"{name}_scale_mul"),
    ]


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
