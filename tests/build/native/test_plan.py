"""What the native kernels are not asked to compute: each graph that is not exactly known, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, helper, numpy_helper

from build.model.families import FAMILIES
from build.native.patterns import native_family
from tests.support.graphs.native_graphs import NATIVE_MODELS, Exported, exported
from tests.support.json_files import change
from tests.support.models.tiny_models import TinyModel, make

BERT, _, _, ROBERTA, _, MPNET = NATIVE_MODELS
QUERY = "/encoder/layer.1/attention/self/query/MatMul"


def node(model: ModelProto, name: str) -> NodeProto:
    return next(one for one in model.graph.node if one.name == name)


def constant(model: ModelProto, output: str, change: Callable) -> None:
    """Change the values of a Constant node."""
    maker = next(one for one in model.graph.node if output in one.output)
    values = change(numpy_helper.to_array(maker.attribute[0].t))
    maker.attribute[0].t.CopyFrom(numpy_helper.from_array(values))


def renamed(model: ModelProto) -> None:
    node(model, QUERY).name = "/another"


def attention_scaled(model: ModelProto) -> None:
    divisor = node(model, "/encoder/layer.1/attention/self/Div").input[1]
    constant(model, divisor, lambda value: value * np.float32(1.5))


def attention_of_an_earlier_layer(model: ModelProto) -> None:
    node(model, QUERY).input[0] = "/embeddings/LayerNorm/LayerNormalization_output_0"


def causal(model: ModelProto) -> None:
    """Tokens see none of those behind them."""
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
    positions = next(one for one in model.graph.node if "onnx::Slice" in str(one.output))
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
    renamed: "its graph does not end behind the last layer that is known",
    attention_scaled: "the attention of layer 1 is none that the kernels compute",
    attention_of_an_earlier_layer: "the attention of layer 1 reads something else than the layer before",
    causal: "the attention of layer 0 is none that the kernels compute",
    another_residual: "does not read the sum of a block and what went into it",
    no_bias: "is not followed by a bias",
    norm_without_bias: "is no LayerNorm over channels with a factor and a bias",
    norm_over_tokens: "is no LayerNorm over channels with a factor and a bias",
    one_more_embedding: "its embeddings are not those of a word, a position and a type",
    scaled_embeddings: "its embeddings are not those of a word, a position and a type",
    positions_from_the_end: "its positions are not numbered one by one",
    other_words: "its word embeddings are not of the token ids",
    second_type: "its token types are not all the first",
    one_more_block: "its graph does not end behind the last layer that is known",
}


@pytest.mark.parametrize("model", NATIVE_MODELS, ids=lambda model: model.name)
def test_the_families_of_the_kernels_are_native(model: TinyModel):
    encoder = exported(model).plan().encoder
    assert (len(encoder.layers), encoder.heads) == (2, 2)
    assert encoder.embeddings.first_position == (0 if model.family in ("bert", "dpr", "distilbert") else 2)
    assert (encoder.relative_bias is not None) == (model.family == "mpnet")


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
def test_a_graph_that_differs_in_anything_is_not_native(change: Callable):
    one = exported(BERT)
    model = one.model
    change(model)
    assert CHANGES[change] in one.changed(model).reason()


def test_a_node_that_is_not_found_is_named():
    one = exported(BERT)
    model = one.model
    node(model, "/encoder/layer.0/intermediate/dense/MatMul").name = "/another"
    assert one.changed(model).reason() == "its graph has no /encoder/layer.0/intermediate/dense/MatMul"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"position_embedding_type": "relative_key"}, "embeddings are not those of a word, a position"),
        ({"position_embedding_type": "relative_key_query"}, "embeddings are not those of a word, a position"),
        ({"is_decoder": True}, "the attention of layer 0 is none that the kernels compute"),
        ({"hidden_act": "mish"}, "the activation function of layer 0 is none that the kernels have"),
        ({"hidden_act": "gelu_10"}, "the activation function of layer 0 is none that the kernels have"),
    ],
    ids=str,
)
def test_a_config_that_the_kernels_do_not_know_is_not_native(settings: dict, reason: str):
    model = replace(BERT, name=f"not-native-{'-'.join(map(str, settings.values()))}", settings=settings)
    assert reason in exported(model).reason()


def test_heads_that_the_graph_does_not_have_are_not_native(tmp_path):
    one = exported(BERT)
    (tmp_path / "config.json").write_text((make(BERT) / "config.json").read_text())
    for heads in (4, 3):
        change(tmp_path / "config.json", lambda config, heads=heads: config.update(num_attention_heads=heads))
        other = replace(one, planned=replace(one.planned, folder=tmp_path))
        assert "the attention of layer 0 is none that the kernels compute" in other.reason()


def test_a_table_of_too_few_buckets_is_not_native():
    one = exported(MPNET)
    model = one.model
    table = next(tensor for tensor in model.graph.initializer if "relative_attention_bias" in tensor.name)
    table.CopyFrom(numpy_helper.from_array(np.zeros((16, 2), dtype=np.float32), table.name))
    assert "its relative attention bias is not a table of 32 buckets" in one.changed(model).reason()


def test_equal_weights_that_the_export_keeps_once_are_found():
    one = exported(BERT)
    model = one.model
    norms = [f"encoder.layer.{number}.output.LayerNorm.bias" for number in range(2)]
    second = next(tensor for tensor in model.graph.initializer if tensor.name == norms[1])
    model.graph.initializer.remove(second)
    model.graph.node.insert(0, helper.make_node("Identity", [norms[0]], [norms[1]], "/same"))
    layers = one.changed(model).plan().encoder.layers
    assert [layer.output_norm.beta for layer in layers] == [norms[0]] * 2


def test_other_families_have_no_native_kernels():
    others = {family.model_type for family in FAMILIES if native_family(family.model_type) is None}
    assert others == {"modernbert", "deberta-v2", "t5", "qwen3", "gemma3_text", "nomic_bert"}
    one = exported(BERT)
    t5 = next(family for family in FAMILIES if family.model_type == "t5")
    assert Exported(one.graph, replace(one.planned, family=t5)).reason() == "the native kernels have no t5"
