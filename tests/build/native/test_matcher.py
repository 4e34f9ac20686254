"""Which graphs are matched with an encoder, and why all others are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, helper, numpy_helper

from tests.support.graphs.native_graphs import NATIVE_MODELS, exported
from tests.support.models.tiny_models import TinyModel

BERT, *_, MPNET = NATIVE_MODELS
QUERY = "/encoder/layer.1/attention/self/query/MatMul"


def node(model: ModelProto, name: str) -> NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def change_constant(model: ModelProto, output: str, change: Callable) -> None:
    """Change the values of a Constant node."""
    producer = next(node for node in model.graph.node if output in node.output)
    values = change(numpy_helper.to_array(producer.attribute[0].t))
    producer.attribute[0].t.CopyFrom(numpy_helper.from_array(values))


def renamed(model: ModelProto) -> None:
    node(model, QUERY).name = "/another"


def attention_scaled(model: ModelProto) -> None:
    divisor = node(model, "/encoder/layer.1/attention/self/Div").input[1]
    change_constant(model, divisor, lambda value: value * np.float32(1.5))


def attention_of_an_earlier_layer(model: ModelProto) -> None:
    node(model, QUERY).input[0] = "/embeddings/LayerNorm/LayerNormalization_output_0"


def causal(model: ModelProto) -> None:
    """Tokens do not attend to later ones."""
    scores = node(model, "/encoder/layer.0/attention/self/Softmax")
    lower = helper.make_node("Trilu", [scores.input[0]], ["lower"], "/lower", upper=0)
    model.graph.node.insert(list(model.graph.node).index(scores), lower)
    scores.input[0] = "lower"


def another_residual(model: ModelProto) -> None:
    node(model, "/encoder/layer.1/output/Add").input[1] = "/embeddings/LayerNorm/LayerNormalization_output_0"


def no_bias(model: ModelProto) -> None:
    added = node(model, "/encoder/layer.0/intermediate/dense/Add")
    other = [name for name in added.input if name.startswith("/")]
    added.op_type, added.input[:] = "Relu", other


def norm_without_bias(model: ModelProto) -> None:
    del node(model, "/encoder/layer.0/output/LayerNorm/LayerNormalization").input[2:]


def norm_over_tokens(model: ModelProto) -> None:
    norm = node(model, "/encoder/layer.0/output/LayerNorm/LayerNormalization")
    next(entry for entry in norm.attribute if entry.name == "axis").i = 1


def one_more_embedding(model: ModelProto) -> None:
    added = node(model, "/embeddings/Add_1")
    twice = helper.make_node("Add", [added.output[0], "/embeddings/word_embeddings/Gather_output_0"], ["twice"], "/t")
    model.graph.node.insert(list(model.graph.node).index(added) + 1, twice)
    norm = node(model, "/embeddings/LayerNorm/LayerNormalization")
    norm.input[0] = "twice"


def scaled_embeddings(model: ModelProto) -> None:
    norm = node(model, "/embeddings/LayerNorm/LayerNormalization")
    scaled = helper.make_node("Mul", [norm.input[0], norm.input[0]], ["scaled"], "/scaled")
    model.graph.node.insert(list(model.graph.node).index(norm), scaled)
    norm.input[0] = "scaled"


def positions_from_the_end(model: ModelProto) -> None:
    positions = next(node for node in model.graph.node if "onnx::Slice" in str(node.output))
    values = numpy_helper.to_array(positions.attribute[0].t)
    positions.attribute[0].t.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values[:, ::-1])))


def other_words(model: ModelProto) -> None:
    node(model, "/embeddings/word_embeddings/Gather").input[1] = "attention_mask"


def second_type(model: ModelProto) -> None:
    types = node(model, "/embeddings/token_type_embeddings/Gather")
    types.input[1] = "attention_mask"


def one_more_block(model: ModelProto) -> None:
    last = node(model, "/encoder/layer.1/output/LayerNorm/LayerNormalization")
    last.output[0] = "before"
    model.graph.node.append(helper.make_node("Tanh", ["before"], ["last_hidden_state"], "/more"))


CHANGES = {
    renamed: "its graph does not end after its last known layer",
    attention_scaled: "the attention of layer 1 is not what the native kernels compute",
    attention_of_an_earlier_layer: "the attention of layer 1 does not read the previous layer's output",
    causal: "the attention of layer 0 is not what the native kernels compute",
    another_residual: "does not read the sum of a block's input and output",
    no_bias: "is not followed by a bias",
    norm_without_bias: "is not a LayerNorm over channels with a scale and a bias",
    norm_over_tokens: "is not a LayerNorm over channels with a scale and a bias",
    one_more_embedding: "its embeddings are not the sum of those of a word, a position and a token type",
    scaled_embeddings: "its embeddings are not the sum of those of a word, a position and a token type",
    positions_from_the_end: "its positions are not consecutive",
    other_words: "its word embeddings are not looked up by token id",
    second_type: "its tokens do not all have the type 0",
    one_more_block: "its graph does not end after its last known layer",
}


@pytest.mark.parametrize("model", NATIVE_MODELS, ids=lambda model: model.name)
def test_every_supported_family_is_matched(model: TinyModel):
    encoder = exported(model).plan().encoder
    assert (len(encoder.layers), encoder.heads) == (2, 2)
    assert encoder.embeddings.first_position == (0 if model.family in ("bert", "dpr", "distilbert") else 2)
    assert (encoder.relative_bias is not None) == (model.family == "mpnet")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_graph_that_differs_in_anything_is_not_matched(change: Callable):
    original = exported(BERT)
    changed = original.model
    change(changed)
    assert CHANGES[change] in original.changed(changed).reason()


def test_a_node_that_is_not_found_is_named():
    original = exported(BERT)
    changed = original.model
    node(changed, "/encoder/layer.0/intermediate/dense/MatMul").name = "/another"
    expected = "its graph has no node /encoder/layer.0/intermediate/dense/MatMul"
    assert original.changed(changed).reason() == expected


OTHER_EMBEDDINGS = "its embeddings are not the sum of those of a word, a position and a token type"
OTHER_ACTIVATION = "the activation function of layer 0 is not one that the native kernels have"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"position_embedding_type": "relative_key"}, OTHER_EMBEDDINGS),
        ({"position_embedding_type": "relative_key_query"}, OTHER_EMBEDDINGS),
        ({"is_decoder": True}, "the attention of layer 0 is not what the native kernels compute"),
        ({"hidden_act": "mish"}, OTHER_ACTIVATION),
        ({"hidden_act": "gelu_10"}, OTHER_ACTIVATION),
    ],
    ids=str,
)
def test_a_model_with_settings_that_the_kernels_lack_is_not_matched(settings: dict, reason: str):
    model = replace(BERT, name=f"not-native-{'-'.join(map(str, settings.values()))}", settings=settings)
    assert exported(model).reason() == reason


def test_a_bias_table_with_too_few_buckets_is_not_matched():
    original = exported(MPNET)
    changed = original.model
    table = next(tensor for tensor in changed.graph.initializer if "relative_attention_bias" in tensor.name)
    table.CopyFrom(numpy_helper.from_array(np.zeros((16, 2), dtype=np.float32), table.name))
    assert original.changed(changed).reason() == "its relative attention bias is not a table of 32 buckets"


def test_equal_weights_that_the_export_stores_once_are_found():
    original = exported(BERT)
    changed = original.model
    norms = [f"encoder.layer.{index}.output.LayerNorm.bias" for index in range(2)]
    second = next(tensor for tensor in changed.graph.initializer if tensor.name == norms[1])
    changed.graph.initializer.remove(second)
    changed.graph.node.insert(0, helper.make_node("Identity", [norms[0]], [norms[1]], "/same"))
    layers = original.changed(changed).plan().encoder.layers
    assert [layer.output_norm.beta for layer in layers] == [norms[0]] * 2
