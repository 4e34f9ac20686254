"""The section of rerankers in the manifest: its files, and what is refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manifest import HEAD_FILE, Activation, BundleError, Encoder, Graph, Layer, LayerKind, Layout, OpSet, RerankModel
from tests.support.bundles.text_models import an_encoder

LOGIT = Layer(LayerKind.DENSE, weight="classifier.weight", bias="classifier.bias", activation=Activation.IDENTITY)
GRAPH = Graph("model.onnx", "model.onnx.data", ("input_ids",), "last_hidden_state", Layout.PADDED, None)


def a_model(encoder: Encoder | None = None, **graphs: Graph) -> RerankModel:
    return RerankModel(encoder or an_encoder(layers=(LOGIT,)), Activation.SIGMOID, True, graphs or {"model": GRAPH})


def test_its_files_are_graph_weights_tokenizer_and_layers():
    a_model().check()
    assert a_model().graph is GRAPH
    assert a_model().files() == {"model.onnx", "model.onnx.data", "tokenizer.json", HEAD_FILE}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (a_model(other=GRAPH), "rerank.encoder.graph is model, which is not defined"),
        (a_model(an_encoder()), "rerank.encoder.layers is empty"),
        (a_model(an_encoder(layers=(LOGIT,), max_tokens=0)), "rerank.encoder.max_tokens must be at least 1, not 0"),
        (
            a_model(an_encoder(layers=(replace(LOGIT, activation=None),))),
            "rerank.encoder.layers[0].activation is missing",
        ),
        (
            a_model(model=replace(GRAPH, ops=OpSet("cpu2vec", 7))),
            "rerank.graphs.model.layout must be packed for a graph with ops, not padded",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(model: RerankModel, message: str):
    with pytest.raises(BundleError) as error:
        model.check()
    assert str(error.value) == message
