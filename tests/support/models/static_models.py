"""Tiny random static models in the layouts on disk that model2vec and sentence-transformers write."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from model2vec import StaticModel
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

WIDTH = 16
WORDS = "the ferry to island leaves at seven in morning . river stone a b c"
SENTENCES = (
    "The ferry to the island leaves at seven in the morning.",
    "图书馆今天几点关门? 駅の近くに静かな喫茶店があります。",
    "river stone paper green walk seven light under market",
)


def wordpiece() -> Tokenizer:
    """Drops unknown tokens: WordPiece has one."""
    words = ["[PAD]", "[UNK]", *WORDS.split(), *(f"##{letter}" for letter in "abcdefg")]
    words += [chr(code) for code in range(0x4E00, 0x4E08)]
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def byte_level_bpe() -> Tokenizer:
    """Has no unknown token: every byte is one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def unigram() -> Tokenizer:
    """Has an unknown id, which model2vec does not see: its model names no unknown token."""
    pieces = [("<unk>", 0.0), ("▁", -2.0), ("▁the", -3.0), ("▁ferry", -3.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def padded(tokenizer: Tokenizer, **how: int) -> Tokenizer:
    """The same, padding each text, as the tokenizers of many models do; ``how``: see ``enable_padding``."""
    tokenizer.enable_padding(**how)
    return tokenizer


TOKENIZERS = {"wordpiece": wordpiece, "byte-level-bpe": byte_level_bpe, "unigram": unigram}


def rows(count: int, kind: str = "float32", seed: int = 0) -> NDArray[Any]:
    """A random table, (count, WIDTH)."""
    values = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    return (values * 40).clip(-127, 127).astype(np.int8) if kind == "int8" else values.astype(kind)


def own_layout(
    directory: Path,
    tokenizer: Tokenizer,
    kind: str = "float32",
    normalize: bool = True,
    weights: str | None = None,
    clusters: int | None = None,
) -> Path:
    """As model2vec saves it. ``weights``: their type; ``clusters``: so many rows, and a mapping of tokens to them."""
    size, generator = tokenizer.get_vocab_size(), np.random.default_rng(1)
    model = StaticModel(
        rows(size if clusters is None else clusters, kind),
        tokenizer,
        config={"normalize": normalize, "model_type": "model2vec"},
        normalize=normalize,
        weights=generator.uniform(0.1, 2, size).astype(weights) if weights else None,
        token_mapping=generator.integers(0, clusters, size) if clusters is not None else None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the package leaves files open
        model.save_pretrained(directory)
    return directory


def older_layout(directory: Path, tokenizer: Tokenizer, folder: str = "") -> Path:
    """What model2vec reads without a config of its own: a table of sentence-transformers, and no modules.json."""
    (directory / folder).mkdir(parents=True)
    (directory / "config_sentence_transformers.json").write_text(json.dumps({"__version__": {}}))
    save_file({"embedding.weight": rows(tokenizer.get_vocab_size())}, directory / folder / "model.safetensors")
    tokenizer.save(str(directory / folder / "tokenizer.json"))
    return directory


def sentence_layout(
    directory: Path,
    tokenizer: Tokenizer,
    kind: str = "float32",
    *,
    dense: int | None = None,
    normalize: bool = False,
    prompts: dict[str, str] | None = None,
    truncate_dim: int | None = None,
) -> Path:
    """As sentence-transformers saves it, with a Dense layer to ``dense`` components and a Normalize behind it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding

    modules: list[Any] = [StaticEmbedding(tokenizer, embedding_weights=rows(tokenizer.get_vocab_size(), kind))]
    modules += [Dense(WIDTH, dense)] if dense is not None else []
    modules += [Normalize()] if normalize else []
    model = SentenceTransformer(modules=modules, prompts=prompts, truncate_dim=truncate_dim, device="cpu")
    model.save_pretrained(str(directory), create_model_card=False)
    return directory
