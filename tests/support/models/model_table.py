"""The models that tests build: one per text model of data/models.csv, and more for each family and each module."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.models.tiny_description import (
    CHAT_TEMPLATE,
    PROMPTS,
    Dense,
    Dropout,
    LayerNorm,
    Normalize,
    Routes,
    TinyModel,
)

SEARCH = {"query": "Represent this sentence for searching relevant passages: "}
MODERNBERT_PROMPTS = {"query": "search_query: ", "document": "search_document: "}
QWEN_PROMPTS = {
    "query": "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:",
    "document": "",
}
GEMMA_PROMPTS = {
    "query": "task: search result | query: ",
    "document": "title: none | text: ",
    "Clustering": "task: clustering | query: ",
}

SBERT_BERT = TinyModel("sbert-bert", "bert", "bert", "BertModel", normalize=True)
SBERT_MPNET = TinyModel("sbert-mpnet", "mpnet", "mpnet", "MPNetForMaskedLM", normalize=True)
FLAN_T5 = TinyModel(
    "flan-t5",
    "t5",
    "t5",
    "T5ForConditionalGeneration",
    pooling=None,
    settings={"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
)
GTR_T5 = TinyModel(
    "gtr-t5-base",
    "t5",
    "t5",
    "T5EncoderModel",
    layers=(Dense(32, bias=False, activation="Identity"),),
    normalize=True,
    settings={"feed_forward_proj": "relu"},
)
BGE = TinyModel("bge-small", "bert", "bert", "BertModel", "cls", normalize=True)
ARCTIC = TinyModel("snowflake-arctic", "bert", "bert of search", "BertModel", "cls", normalize=True, prompts=SEARCH)
DPR_CONTEXT = TinyModel("dpr-context", "dpr", "dpr context", "DPRContextEncoder", pooling=None)
DPR_QUESTION = TinyModel("dpr-question", "dpr", "dpr question", "DPRQuestionEncoder", pooling=None)
BARE_MPNET = TinyModel("abstract-sim", "mpnet", "mpnet", "MPNetModel", pooling=None, positions=130)
QWEN = TinyModel(
    "qwen3-embedding",
    "qwen3",
    "qwen",
    "Qwen3ForCausalLM",
    "lasttoken",
    normalize=True,
    prompts=QWEN_PROMPTS,
    dtype="bfloat16",
    chat_template=CHAT_TEMPLATE,
    without=("sentence_bert_config.json",),
)
GEMMA = TinyModel(
    "embeddinggemma",
    "gemma3_text",
    "gemma",
    "Gemma3TextModel",
    layers=(Dense(128, bias=False, activation="Identity"), Dense(32, bias=False, activation="Identity")),
    normalize=True,
    newer_form=True,
    prompts=GEMMA_PROMPTS,
)
MODERNBERT = TinyModel(
    "modernbert-embed",
    "modernbert",
    "modernbert",
    "ModernBertModel",
    normalize=True,
    prompts=MODERNBERT_PROMPTS,
)

TABLE: dict[str, TinyModel] = {
    "distilbert-base-uncased": TinyModel(
        "distilbert-base-uncased", "distilbert", "distilbert", "DistilBertForMaskedLM", pooling=None
    ),
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2": TinyModel(
        "paraphrase-multilingual-minilm", "bert", "xlm-roberta", "BertModel"
    ),
    "sentence-transformers/multi-qa-MiniLM-L6-cos-v1": SBERT_BERT,
    "sentence-transformers/multi-qa-mpnet-base-cos-v1": SBERT_MPNET,
    "sentence-transformers/all-mpnet-base-v2": SBERT_MPNET,
    "sentence-transformers/all-MiniLM-L12-v2": SBERT_BERT,
    "sentence-transformers/paraphrase-multilingual-mpnet-base-v2": TinyModel(
        "paraphrase-multilingual-mpnet", "xlm-roberta", "xlm-roberta", "XLMRobertaModel"
    ),
    "sentence-transformers/all-MiniLM-L6-v2": SBERT_BERT,
    "sentence-transformers/multi-qa-distilbert-cos-v1": TinyModel(
        "multi-qa-distilbert-uncased", "distilbert", "distilbert", "DistilBertForMaskedLM", normalize=True
    ),
    "sentence-transformers/gtr-t5-base": GTR_T5,
    "sentence-transformers/gtr-t5-large": replace(
        GTR_T5, name="gtr-t5-large", layers=(Dense(24, bias=False, activation="Identity"),)
    ),
    "google/flan-t5-base": FLAN_T5,
    "google/flan-t5-large": FLAN_T5,
    "BAAI/bge-small-en-v1.5": BGE,
    "BAAI/bge-base-en-v1.5": replace(BGE, name="bge-base-en", tokenizer="bert of search", prompts=SEARCH),
    "BAAI/bge-m3": TinyModel("bge-m3-dense", "xlm-roberta", "xlm-roberta", "XLMRobertaModel", "cls", normalize=True),
    "Snowflake/snowflake-arctic-embed-xs": ARCTIC,
    "Snowflake/snowflake-arctic-embed-s": ARCTIC,
    "Snowflake/snowflake-arctic-embed-m": ARCTIC,
    "Snowflake/snowflake-arctic-embed-l": ARCTIC,
    "facebook/dpr-ctx_encoder-single-nq-base": DPR_CONTEXT,
    "facebook/dpr-question_encoder-single-nq-base": DPR_QUESTION,
    "vblagoje/dpr-ctx_encoder-single-lfqa-wiki": replace(
        DPR_CONTEXT, name="dpr-context-projected", settings={"projection_dim": 16}
    ),
    "vblagoje/dpr-question_encoder-single-lfqa-wiki": replace(
        DPR_QUESTION, name="dpr-question-projected", settings={"projection_dim": 16}
    ),
    "biu-nlp/abstract-sim-sentence": BARE_MPNET,
    "biu-nlp/abstract-sim-query": BARE_MPNET,
    "mixedbread-ai/mxbai-embed-large-v1": TinyModel(
        "mxbai-embed-large",
        "bert",
        "bert of search",
        "BertModel",
        "cls",
        prompts=SEARCH | {"passage": ""},
    ),
    "intfloat/multilingual-e5-small": TinyModel(
        "multilingual-e5-small", "bert", "xlm-roberta", "BertModel", normalize=True, prompts=PROMPTS
    ),
    "nomic-ai/modernbert-embed-base": MODERNBERT,
    "Alibaba-NLP/gte-modernbert-base": TinyModel(
        "gte-modernbert", "modernbert", "modernbert", "ModernBertModel", "cls", dtype="float16"
    ),
    "sentence-transformers/LaBSE": TinyModel(
        "labse", "bert", "labse", "BertModel", "cls", layers=(Dense(32, activation="Tanh"),), normalize=True
    ),
    "Qwen/Qwen3-Embedding-0.6B": QWEN,
    "google/embeddinggemma-300m": GEMMA,
}
"""Each text model of data/models.csv has a small counterpart here. Models that differ in size alone share one."""

NOMIC = TinyModel("nomic-embed", "nomic_bert", "bert", "NomicBertModel", prompts=MODERNBERT_PROMPTS)
DEBERTA = TinyModel("deberta-v3", "deberta-v2", "deberta-v3", "DebertaV2Model", newer_form=True)

FAMILY_MODELS = [
    replace(GTR_T5, name="sentence-t5-gated", settings={"feed_forward_proj": "gated-gelu"}, dtype="float16"),
    replace(FLAN_T5, name="bare-t5-relu", settings={"feed_forward_proj": "relu"}),
    TinyModel("bare-t5-encoder", "t5", "t5", "T5EncoderModel", pooling=None),
    TinyModel("bare-t5-with-decoder", "t5", "t5", "T5Model", pooling=None),
    TinyModel("bare-modernbert", "modernbert", "modernbert", "ModernBertForMaskedLM", pooling=None),
    DEBERTA,
    TinyModel("bare-deberta-v3", "deberta-v2", "deberta-v3", "DebertaV2Model", pooling=None),
    replace(DEBERTA, name="deberta-v3-for-masked-lm", architecture="DebertaV2ForMaskedLM"),
    replace(DEBERTA, name="deberta-v3-normalized", pooling="cls", normalize=True, newer_form=False),
    TinyModel("bare-qwen3", "qwen3", "qwen", "Qwen3ForCausalLM", pooling=None),
    TinyModel("bare-qwen3-model", "qwen3", "qwen", "Qwen3Model", pooling=None),
    replace(QWEN, name="qwen3-with-window", without=(), dtype="float32", newer_form=True, default_prompt="query"),
    TinyModel("bare-gemma3", "gemma3_text", "gemma", "Gemma3TextModel", pooling=None),
    TinyModel("bert-without-special-tokens", "bert", "wordpiece without special tokens", "BertModel"),
    TinyModel("labse-tokenizer-bare", "bert", "labse", "BertModel", pooling=None),
]
"""These are families without a row in the table, and other forms of those that have one."""

REMOTE_CODE_MODELS = [
    NOMIC,
    replace(NOMIC, name="nomic-embed-normalized", normalize=True, newer_form=True),
    replace(NOMIC, name="bare-nomic", pooling=None, prompts={}),
]
"""These models come with code of their own. They load only where it is trusted."""

CODE_ELSEWHERE = replace(NOMIC, name="nomic-code-elsewhere", code_repository="someone/code")
"""This model's code is in another repository of the hub, so that its directory alone does not load."""

PLAIN = TinyModel("shared-bert", "bert", "bert", "BertModel")
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")


def _module(name: str, **values: Any) -> TinyModel:
    """Return ``PLAIN`` with other modules after its transformer. All of these share one transformer's weights."""
    return replace(PLAIN, name=name, weights=PLAIN.name, **values)


SMALL_QUERY = TinyModel(
    "router-query-way", "distilbert", "cased distilbert", "DistilBertModel", normalize=True, max_seq_length=24
)
LARGE_DOCUMENT = _module("router-document-way", pooling="cls")

MODULE_MODELS = [
    *(
        _module(f"pooling-{mode}-{'newer' if newer else 'older'}", pooling=mode, newer_form=newer)
        for mode in MODES
        for newer in (False, True)
    ),
    _module("pooling-cls-mean-older", pooling=("cls", "mean")),
    _module("pooling-mean-cls-newer", pooling=("mean", "cls"), newer_form=True, normalize=True),
    _module("pooling-mean-max-last-newer", pooling=("mean", "max", "lasttoken"), newer_form=True),
    _module("pooling-all-older", pooling=MODES),
    _module("pooling-all-newer", pooling=tuple(reversed(MODES)), newer_form=True),
    *(
        _module(f"prompt-left-out-{mode}", pooling=mode, include_prompt=False, prompts=PROMPTS, newer_form=newer)
        for mode, newer in zip(MODES, (True, True, False, False, True, True), strict=True)
    ),
    _module(
        "prompt-left-out-by-default",
        pooling=("cls", "mean"),
        include_prompt=False,
        prompts=PROMPTS,
        default_prompt="query",
        normalize=True,
    ),
    *(
        _module(f"dense-{name.lower()}", layers=(Dense(20, n % 2 == 0, name),), newer_form=n % 3 == 0)
        for n, name in enumerate(ACTIVATIONS)
    ),
    _module(
        "dense-after-two-modes", pooling=("cls", "mean"), layers=(Dense(40, True, "GELU"), Dense(8, False, "Tanh"))
    ),
    _module("dense-between-normalize", layers=(Normalize(), Dense(16, True, "ReLU")), normalize=True),
    _module("layer-norm", layers=(LayerNorm(),)),
    _module("layer-norm-newer", layers=(Dense(12, True, "SiLU"), LayerNorm()), normalize=True, newer_form=True),
    _module("dropout", layers=(Dropout(0.5), Dense(16), Dropout()), normalize=True),
    _module("dropout-newer", layers=(Dropout(),), newer_form=True),
    _module("truncated", truncate_dim=10, newer_form=True),
    _module("truncated-after-normalize", truncate_dim=10, normalize=True),
    _module("truncated-after-dense", truncate_dim=10, layers=(Dense(20),), normalize=True),
    _module("truncated-wider-than-the-vector", truncate_dim=100, newer_form=True),
    _module("router-of-models", router=Routes(SMALL_QUERY, LARGE_DOCUMENT), prompts={"query": "query: "}),
    _module(
        "router-of-models-normalized",
        router=Routes(SMALL_QUERY, LARGE_DOCUMENT, default="query"),
        normalize=True,
        layers=(Dense(16, True, "Identity"),),
        truncate_dim=8,
    ),
    _module("router-of-models-without-default", router=Routes(SMALL_QUERY, LARGE_DOCUMENT, default=None)),
    _module("router-of-layers", router=Routes((Dense(16, True, "Tanh"),), (Dense(16, False, "Identity"),))),
    _module(
        "router-of-layers-normalized",
        pooling=("cls", "mean"),
        router=Routes((Dense(24, True, "ReLU"), Dense(16, True, "Identity"), Normalize()), (Dense(16), LayerNorm())),
        prompts=PROMPTS,
        default_prompt="passage",
        normalize=True,
    ),
    _module("router-of-layers-without-default", router=Routes((Dense(16),), (Dense(16), Normalize()), default=None)),
]
"""Everything that may follow a transformer is tried on one transformer; a router has one more."""

LIMITS = {
    "distilbert-base-uncased": 64,
    "flan-t5": 512,
    "dpr-context": 64,
    "dpr-question": 64,
    "dpr-context-projected": 64,
    "dpr-question-projected": 64,
    "abstract-sim": 128,
    "qwen3-embedding": 64,
    "bare-t5-relu": 512,
    "bare-t5-encoder": 512,
    "bare-t5-with-decoder": 512,
    "bare-modernbert": 64,
    "bare-deberta-v3": 64,
    "bare-qwen3": 64,
    "bare-qwen3-model": 64,
    "bare-gemma3": 64,
    "labse-tokenizer-bare": 64,
    "bare-nomic": 64,
}
"""These models have another ``max_tokens`` than the declared window of 48."""
