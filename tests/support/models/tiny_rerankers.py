"""Tiny random rerankers, one for each family, with the files that rerankers of the family have on the hub."""

from __future__ import annotations

from typing import Any

from tests.support.models.tiny_models import TinyModel

SIGMOID, IDENTITY, TANH = (
    f"torch.nn.modules.{name}" for name in ("activation.Sigmoid", "linear.Identity", "activation.Tanh")
)


def a_reranker(name: str, family: str, tokenizer: str, architecture: str, **values: Any) -> TinyModel:
    """A sequence classifier with one label; ``values``: keys of its config."""
    plain = {"num_labels": 1} | values
    return TinyModel(name, family, tokenizer, f"{architecture}ForSequenceClassification", pooling=None, settings=plain)


NEWER = {"sentence_transformers": {"activation_fn": IDENTITY, "version": "5.0.0"}}
OLDER = {"sbert_ce_default_activation_function": IDENTITY}

RERANKERS = (
    a_reranker("ms-marco-minilm", "bert", "bert", "Bert", **OLDER),
    a_reranker("bert-with-pieces", "bert", "xlm-roberta", "Bert", **NEWER),
    a_reranker("stsb-roberta", "roberta", "roberta", "Roberta"),
    a_reranker("bge-reranker", "xlm-roberta", "xlm-roberta", "XLMRoberta"),
    a_reranker("mpnet-reranker", "mpnet", "mpnet", "MPNet", **OLDER, sentence_transformers={"activation_fn": TANH}),
    a_reranker("distilbert-reranker", "distilbert", "cased distilbert", "DistilBert"),
    a_reranker("ms-marco-electra", "electra", "bert", "Electra", **NEWER),
    a_reranker("gte-modernbert-reranker", "modernbert", "modernbert", "ModernBert", classifier_pooling="mean"),
    a_reranker("modernbert-cls", "modernbert", "modernbert", "ModernBert", classifier_pooling="cls", norm_bias=True),
    a_reranker("mxbai-rerank", "deberta-v2", "deberta-v3", "DebertaV2"),
)
"""Of every family that is supported; with the activation in the older key, in today's, in both and in none."""

NATIVE = ("bert", "roberta", "xlm-roberta", "mpnet", "distilbert", "electra")
"""Families that the native kernels compute."""
