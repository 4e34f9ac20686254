"""Tiny tokenizers of every kind that embedding models use, made by their own library, and difficult texts for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?()'\"éß漢字か。」"
SPLIT_AS_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def around(single: str, **ids: int) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(single=single, special_tokens=list(ids.items()))


def bare_wordpiece() -> Tokenizer:
    """Make a WordPiece tokenizer that adds no special tokens."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS), "the", "##ing"]
    fast = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer()
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    return fast


def wordpiece() -> Tokenizer:
    """Make a tokenizer as BERT's."""
    fast = bare_wordpiece()
    fast.post_processor = around("[CLS] $A [SEP]", **{"[CLS]": 2, "[SEP]": 3})
    return fast


def bare_unigram() -> Tokenizer:
    pieces = [("<s>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0), ("▁the", -4.0), ("ing", -4.0), (". ", -9.0)]
    pieces += [(letter, -5.0 - n / 10) for n, letter in enumerate(LETTERS)]
    fast = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    fast.add_special_tokens(["<s>", "</s>", AddedToken("<mask>", lstrip=True)])
    return fast


def unigram() -> Tokenizer:
    """Make a tokenizer as XLM-RoBERTa's."""
    fast = bare_unigram()
    fast.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    fast.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    fast.post_processor = around("<s> $A </s>", **{"<s>": 0, "</s>": 1})
    return fast


def unigram_with_suffix() -> Tokenizer:
    """Make a tokenizer as T5's: only Metaspace splits a text, and it looks at spaces alone."""
    fast = bare_unigram()
    fast.normalizer = normalizers.NFKC()
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    fast.post_processor = around("$A </s>", **{"</s>": 1})
    return fast


def bare_byte_bpe() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("in", "g"), ("Ġ", "Ġ"), ("Ċ", "Ċ"), (".", "Ċ")]
    words = ["<s>", "</s>", *alphabet, *(left + right for left, right in merges)]
    fast = Tokenizer(models.BPE({word: n for n, word in enumerate(words)}, merges))
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens(["<s>", "</s>"])
    return fast


def byte_bpe() -> Tokenizer:
    """Make a tokenizer as RoBERTa's."""
    fast = bare_byte_bpe()
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True)
    return fast


def byte_bpe_with_prefix_space() -> Tokenizer:
    """Make a tokenizer as RoBERTa's where its files request a leading space."""
    fast = bare_byte_bpe()
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    fast.post_processor = around("<s> $A </s>", **{"<s>": 0, "</s>": 1})
    return fast


def byte_bpe_with_suffix() -> Tokenizer:
    """Make a tokenizer as Qwen's: line feeds belong to the punctuation before them."""
    fast = bare_byte_bpe()
    fast.normalizer = normalizers.NFC()
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_AS_QWEN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    fast.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), around("$A </s>", **{"</s>": 1})]
    )
    return fast


def bare_bpe_with_bytes() -> Tokenizer:
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("i", "n"), ("in", "g"), ("▁", "▁"), ("▁", "i"), ("\n", "\n")]
    words = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "\n", *LETTERS]
    words += [left + right for left, right in merges]
    model = models.BPE(
        {word: n for n, word in enumerate(words)}, merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"
    )
    fast = Tokenizer(model)
    fast.add_special_tokens(["<pad>", "<eos>", "<bos>"])
    fast.post_processor = around("<bos> $A <eos>", **{"<bos>": 2, "<eos>": 1})
    return fast


def bpe_with_bytes() -> Tokenizer:
    """Make a tokenizer as Gemma's: nothing splits the text into words."""
    fast = bare_bpe_with_bytes()
    fast.normalizer = normalizers.Replace(" ", "▁")
    return fast


def bpe_with_bytes_and_prefix() -> Tokenizer:
    """Make a tokenizer as Llama's: a normalizer prepends a space to whatever it receives."""
    fast = bare_bpe_with_bytes()
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return fast


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "wordpiece": wordpiece,
    "wordpiece without specials": bare_wordpiece,
    "unigram": unigram,
    "unigram with suffix": unigram_with_suffix,
    "byte bpe": byte_bpe,
    "byte bpe with prefix space": byte_bpe_with_prefix_space,
    "byte bpe with suffix": byte_bpe_with_suffix,
    "bpe with bytes": bpe_with_bytes,
    "bpe with bytes and prefix": bpe_with_bytes_and_prefix,
}


def write(fast: Tokenizer, directory: Path) -> Path:
    path = directory / "tokenizer.json"
    fast.save(str(path))
    return path


WORDS = ["the", "thing", "tea", "a", "I", "x1", "123456", "漢字", "漢字。", "か」", "don't", "é", "e\u0301", "ß", "ﬁ"]
WORDS += ["end.", 'end."', "what?!", "(sic.)", "…", ",", ".", "<s>", "[SEP]", "<mask>", "😀", "👩\u200d👩\u200d👧"]
WORDS += ["\0", "\u0301", "x" * 70, "漢" * 20]
WHITE = [" ", " ", " ", " ", "  ", "\n", "\n\n", "\r\n", "\t", "\u3000", "   ", " \n", "\u00a0", ""]

texts = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(WHITE)), max_size=60).map(
    lambda pairs: "".join(word + white for word, white in pairs)
)
"""These texts look like prose, and combine every kind of word with every kind of white space."""

dense_texts = st.text(alphabet=st.sampled_from([*LETTERS, *" \n\t\r\u3000\u0301😀\0’X"]), max_size=300)
wild_texts = texts | dense_texts | st.text()
