"""The rerankers that the benchmark makes for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.load.texts import LONG, endless_texts
from bench.rerank.models import MAX_TOKENS, write_minilm, write_xlm_roberta
from build.model.cross_encoder import describe_reranker, is_reranker
from manifest import Activation

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.mark.slow
def test_the_small_one_has_the_default_models_encoder(tmp_path: Path):
    write_minilm(tmp_path)
    assert is_reranker(tmp_path)
    described = describe_reranker(tmp_path)
    assert (described.encoder.width, described.encoder.max_tokens) == (384, MAX_TOKENS)
    assert described.activation is Activation.IDENTITY, "scores are logits"


@pytest.mark.slow
def test_the_large_one_is_of_xlm_rs_family_and_knows_the_words_of_the_load(tmp_path: Path):
    from transformers import AutoTokenizer

    write_xlm_roberta(tmp_path, **SMALL, vocab_size=8000)
    described = describe_reranker(tmp_path)
    assert described.encoder.family.model_type == "xlm-roberta"
    assert (described.encoder.width, described.encoder.max_tokens) == (16, MAX_TOKENS)
    assert described.activation is Activation.IDENTITY
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    text = next(endless_texts(LONG, "a"))
    ids = tokenizer("a query", text)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert len(text.split()) < len(ids) < 2 * len(text.split()), "about as many tokens as XLM-R has"
