"""Tokenizing: truncation as the original does it, and long texts cut without changing a token."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, normalizers, pre_tokenizers, processors

from manifest import BundleError
from runtime.tokenizer import Tokenizer, leading_words

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?éß漢字か"


def wordpiece() -> FastTokenizer:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS), "the", "##ing"]
    fast = FastTokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer()
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return fast


def unigram() -> FastTokenizer:
    pieces = [("<s>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0), ("▁the", -4.0), ("ing", -4.0)]
    pieces += [(letter, -5.0 - n / 10) for n, letter in enumerate(LETTERS)]
    fast = FastTokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    fast.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    fast.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    return fast


def byte_bpe() -> FastTokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("in", "g")]
    words = ["<s>", "</s>", *alphabet, *(left + right for left, right in merges)]
    fast = FastTokenizer(models.BPE({word: n for n, word in enumerate(words)}, merges))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    return fast


KINDS = {"wordpiece": wordpiece, "unigram": unigram, "byte-level bpe": byte_bpe}


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory) -> tuple[Tokenizer, FastTokenizer]:
    """Ours with a window of 12, and the library's own that tokenizes the whole text and truncates to 12."""
    fast = KINDS[request.param]()
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    fast.enable_padding(length=64)
    fast.enable_truncation(3)
    fast.save(str(path))
    fast.no_padding()
    fast.enable_truncation(12)
    return Tokenizer(path, max_tokens=12), fast


def test_truncation_and_padding_baked_into_the_file_are_reset(pair):
    ours, fast = pair
    assert len(ours.encode("the tea is hot")) == len(fast.encode("the tea is hot").ids) > 3


@pytest.mark.parametrize("text", ["", " ", "a", "😀", "漢字", "e\u0301", "\0", "[SEP] </s>", "the " * 500, "x" * 5000])
def test_edges_give_the_tokens_of_the_whole_text_truncated(pair, text: str):
    ours, fast = pair
    assert ours.encode(text) == fast.encode(text).ids


def test_no_text_gives_more_than_the_window(pair):
    ours, _ = pair
    assert len(ours.encode("the tea " * 100_000)) == 12


texts = st.text(alphabet=st.sampled_from([*LETTERS, " ", " ", "\n", "\t", "\u3000", "😀", "\u0301", "x"]), max_size=900)


@settings(max_examples=300)
@given(texts)
def test_a_long_text_gives_the_first_tokens_of_the_whole(pair, text: str):
    ours, fast = pair
    assert ours.encode(text) == fast.encode(text).ids


@settings(max_examples=200)
@given(texts, st.integers(1, 400))
def test_a_prefix_ends_before_white_space_after_a_word_or_is_everything(text: str, length: int):
    end = leading_words(text, length)
    assert end == len(text) or (length // 2 < end <= length and text[end] in " \n" and text[end - 1].isalnum())


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(BundleError, match="tokenizer.json is not a tokenizer"):
        Tokenizer(path, 8)
