"""Writes the layers of an encoder as nodes of the native kernels' ops (docs/kernels.md, "Ops"), matrix by matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from build.graph.external_data import ExternalDataWriter, tensor_bytes
from build.graph.index import GraphIndex
from build.host.malloc import release_free_memory
from build.native.encoder import NATIVE_OPS, AttentionMask, EncoderLayer, LayerNorm, Linear, NativeEncoder
from build.native.packing import group_sums, pack
from build.native.weights import NativeWeights, Product

LENGTHS, ROWS = "lengths", "rows"
"""What layers read besides the embeddings: the tokens of each text, and which tokens the last layer computes."""

ABSENT = ""
"""ONNX's name for an input that is left out."""


class GraphWriter:
    """The nodes and initializers of a native graph, in the order in which they are added."""

    def __init__(
        self, graph: GraphIndex, encoder: NativeEncoder, weights: NativeWeights, file: ExternalDataWriter
    ) -> None:
        self.source, self._encoder, self._weights, self._file = graph, encoder, weights, file
        self._nodes: list[NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._width = graph.constants[encoder.layers[0].first.matrix].dims[0]

    def graph(self, inputs: Sequence[ValueInfoProto], output: ValueInfoProto) -> GraphProto:
        return helper.make_graph(self._nodes, "encoder", inputs, [output], self._initializers)

    def add(self, name: str, array: NDArray[Any]) -> str:
        """Add an initializer, and return its name."""
        tensor = numpy_helper.from_array(array, name)
        self._initializers.append(self._file.add(tensor, tensor_bytes(tensor, Path())))
        return name

    def native(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node of a native op, whose last inputs may be absent, and return its output."""
        given = len(inputs)
        while given and inputs[given - 1] == ABSENT:
            given -= 1
        self._nodes.append(
            helper.make_node(op, inputs[:given], [output], output, domain=NATIVE_OPS.domain, **attributes)
        )
        return output

    def onnx(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node of one of ONNX's own ops, and return its output."""
        self._nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    def norm(self, name: str, norm: LayerNorm | None) -> list[str]:
        """Add the vectors of a norm, and return them as inputs: gamma and beta."""
        if norm is None:
            return [ABSENT, ABSENT]
        vectors = (("gamma", norm.gamma), ("beta", norm.beta))
        return [self.add(f"{name}.{kind}", self.source.read(vector)) for kind, vector in vectors]

    def layers(self, state: str, output: str, biases: str, selects: bool) -> str:
        """Add all layers, which read ``state`` and compute ``output``; if it ``selects``, only of ``ROWS``.

        ``biases``: the attention biases by distance, or absent.
        """
        *others, last = self._encoder.layers
        for index, layer in enumerate(others):
            state = self._layer(f"layer.{index}", layer, state, f"layer.{index}", biases)
            release_free_memory()
        return self._layer(
            f"layer.{len(others)}", last, state, output, biases, selects=selects, final_norm=self._encoder.final_norm
        )

    def linear(
        self,
        name: str,
        state: str,
        product: Product,
        *,
        output: str | None = None,
        residual: str = ABSENT,
        norm: LayerNorm | None = None,
        input_norm: LayerNorm | None = None,
    ) -> str:
        """Add a product of ``state`` with what surrounds it, and return its value, which is named as it is."""
        inputs = [state, *self._product(name, product), residual]
        inputs += [*self.norm(name, norm), *self.norm(f"{name}.input", input_norm)]
        return self.native("Linear", inputs, output or name, **_epsilons(norm, input_norm))

    def joined(self, *linears: Linear) -> Product:
        """The product of linear layers with the same input, side by side."""
        return self._weights.joined(linears)

    def _layer(
        self,
        name: str,
        layer: EncoderLayer,
        state: str,
        output: str,
        biases: str,
        *,
        selects: bool = False,
        final_norm: LayerNorm | None = None,
    ) -> str:
        """Add a layer that reads ``state`` and computes ``output``; if it ``selects``, only of ``ROWS``."""
        norm_first = self._encoder.norm_first
        before, after = (layer.attention_norm, None) if norm_first else (None, layer.attention_norm)
        product = self.joined(layer.query, layer.key, layer.value)
        if selects:
            query, key_value = product.split(self._width)
            keys = self.linear(f"{name}.kv", state, key_value, input_norm=before)
            state = self.onnx("Gather", [state, ROWS], f"{name}.rows")
            some = [self.linear(f"{name}.query", state, query, input_norm=before), ROWS]
        else:
            keys, some = self.linear(f"{name}.qkv", state, product, input_norm=before), []
        context = self._attention(name, [keys, LENGTHS, biases, *some])
        projection = self.joined(layer.attention_output)
        attended = self.linear(f"{name}.attention", context, projection, residual=state, norm=after)
        before, after = (layer.output_norm, final_norm) if norm_first else (None, layer.output_norm)
        return self._feed_forward(f"{name}.feed_forward", attended, layer, output, before, after)

    def _attention(self, name: str, inputs: Sequence[str]) -> str:
        masked = {} if self._encoder.mask is AttentionMask.NONE else {"mask": self._encoder.mask.value}
        return self.native("Attention", inputs, f"{name}.context", heads=self._encoder.heads, **masked)

    def _feed_forward(
        self,
        name: str,
        attended: str,
        layer: EncoderLayer,
        output: str,
        input_norm: LayerNorm | None,
        norm: LayerNorm | None,
    ) -> str:
        second, splits = self._weights.with_split_inputs(layer.second)
        first = self.joined(layer.first).with_split_outputs(splits)
        *weights, smooth, shift = self._product(f"{name}.second", second)
        inputs = [attended, *self._product(f"{name}.first", first), *weights, *self.norm(name, norm), smooth, shift]
        inputs += self.norm(f"{name}.input", input_norm)
        attributes = {"activation": layer.activation.value, **_epsilons(norm, input_norm)}
        return self.native("FeedForward", inputs, output, **attributes)

    def _product(self, name: str, product: Product) -> list[str]:
        """Add a product's weights, and return the six inputs of an op for them."""
        return [
            self.add(f"{name}.weight", pack(product.values)),
            self.add(f"{name}.scale", product.scales),
            self.add(f"{name}.sums", group_sums(product.values)),
            self.add(f"{name}.bias", product.bias),
            ABSENT if product.smooth is None else self.add(f"{name}.smooth", product.smooth),
            ABSENT,
        ]


def _epsilons(norm: LayerNorm | None, input_norm: LayerNorm | None) -> dict[str, float]:
    named = {"epsilon": norm, "input_epsilon": input_norm}
    return {name: norm.epsilon for name, norm in named.items() if norm is not None}
