"""Makes tiny tokenizers of every kind that the hub's embedding models have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.support.json_files import write

WORD = "river"
"""Every tokenizer here has this word as one token, at the start of a text and within it."""

WORDS = f"the a of and {WORD} stone paper green walk seven light under market ferry island leaves at in morning hello"
LETTERS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"()[]{}<>|/\\-_+*=#%&@$éüñßøœŁживаяλόγο"
)
OTHERS = "漢字図書館今天几点关门か駅静喫茶店が한국어العربيةहिन्दी\u0301\u0308\u200d😀🚀👩🔬€—…«»"
CHARACTERS = "".join(dict.fromkeys(LETTERS + OTHERS))
PROMPT_WORDS = (
    "Instruct Given web search query retrieve relevant passages that answer Query task result title none text document"
)
"""Prompts consist of these words. Letter by letter, prompts would fill a tiny window."""

BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def _wordpiece(specials: list[str], lower: bool) -> list[str]:
    letters = CHARACTERS.lower() if lower else CHARACTERS
    words = [*WORDS.split(), "query", "passage", "ing", "s"]
    return list(dict.fromkeys([*specials, *words, *letters, *(f"##{piece}" for piece in ("ing", "s", *letters))]))


def _vocabulary(directory: Path, words: list[str]) -> str:
    write(directory / "vocab.txt", "\n".join(words) + "\n")
    return str(directory / "vocab.txt")


def _uncased(kind: str, words: str = "") -> Callable[[Path], Any]:
    """Return a maker of BERT's uncased tokenizer, under the class of another family or with more words."""

    def tokenizer(directory: Path) -> Any:
        import transformers

        return getattr(transformers, kind)(
            vocab_file=_vocabulary(directory, [*_wordpiece(BERT_SPECIALS, lower=True), *words.split()]),
            do_lower_case=True,
            model_max_length=64,
        )

    return tokenizer


def _cased_distilbert(directory: Path) -> Any:
    from transformers import DistilBertTokenizerFast

    return DistilBertTokenizerFast(
        vocab_file=_vocabulary(directory, _wordpiece(BERT_SPECIALS, lower=False)),
        do_lower_case=False,
        model_max_length=40,
    )


def _multilingual_cased(directory: Path) -> Any:
    """Make a tokenizer as LaBSE's: cased, with words of several scripts."""
    from transformers import BertTokenizerFast

    words = ["живая", "λόγο", "한국어", "العربية", "हिन्दी", "River", "Stone"]
    pieces = _wordpiece(BERT_SPECIALS, lower=False)
    return BertTokenizerFast(
        vocab_file=_vocabulary(directory, [*pieces, *words, *(f"##{word}" for word in words)]),
        do_lower_case=False,
        model_max_length=512,
    )


def _wordpiece_without_special_tokens(directory: Path) -> Any:
    """Make a tokenizer without a post-processor: it adds no special tokens, and an empty text has no tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: n for n, word in enumerate(_wordpiece(["[PAD]", "[UNK]"], lower=True))}
    fast = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer(lowercase=True)
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(
        tokenizer_file=_saved(fast, directory),
        unk_token="[UNK]",
        pad_token="[PAD]",
        model_max_length=512,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _mpnet(directory: Path) -> Any:
    from transformers import MPNetTokenizerFast

    words = _wordpiece(["<s>", "<pad>", "</s>", "<unk>", *BERT_SPECIALS], lower=True)
    return MPNetTokenizerFast(vocab_file=_vocabulary(directory, [*words, "<mask>"]), model_max_length=512)


def _merges(spellings: Iterable[str]) -> list[tuple[str, str]]:
    """Return the merges that build each spelling letter by letter from its start."""
    return list(dict.fromkeys((word[:n], word[n]) for word in spellings for n in range(1, len(word))))


def _spellings(space: str, words: str = WORDS) -> list[str]:
    return [*(f"{space}{word}" for word in words.split()), *words.split()]


def _roberta(directory: Path) -> Any:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import RobertaTokenizerFast

    merges = _merges(_spellings("Ġ"))
    alphabet = sorted(ByteLevel.alphabet())
    words = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *alphabet, *("".join(pair) for pair in merges), "<mask>"])
    write(directory / "vocab.json", {word: n for n, word in enumerate(words)})
    write(directory / "merges.txt", "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges))
    return RobertaTokenizerFast(
        vocab_file=str(directory / "vocab.json"), merges_file=str(directory / "merges.txt"), model_max_length=512
    )


def _byte_level_pieces(merges: list[tuple[str, str]], before: list[str], after: list[str]) -> dict[str, int]:
    from tokenizers.pre_tokenizers import ByteLevel

    pieces = dict.fromkeys([*before, *sorted(ByteLevel.alphabet()), *("".join(pair) for pair in merges), *after])
    return {piece: n for n, piece in enumerate(pieces)}


def _modernbert(directory: Path) -> Any:
    """Make a decoder's byte-level tokenizer with BERT's special tokens at the end of its vocabulary."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    merges = _merges(_spellings("Ġ", f"{WORDS} {PROMPT_WORDS}"))
    pieces = _byte_level_pieces(merges, ["<|padding|>", "<|endoftext|>"], specials)
    fast = Tokenizer(models.BPE(pieces, merges))
    fast.normalizer = normalizers.NFC()
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    fast.add_special_tokens([AddedToken(name, lstrip=name == "[MASK]", normalized=False) for name in specials])
    fast.add_tokens([AddedToken(" " * width, normalized=True) for width in (4, 3, 2)])
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:0 [SEP]:0",
        special_tokens=[(name, pieces[name]) for name in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_file=_saved(fast, directory),
        model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=True,
        **{f"{name.strip('[]').lower()}_token": name for name in specials},
    )


def _qwen(directory: Path) -> Any:
    """Make a tokenizer as Qwen3-Embedding's: padding on the left, and the padding token after every text."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import Qwen2TokenizerFast

    end, turns = "<|endoftext|>", ["<|im_start|>", "<|im_end|>"]
    merges = _merges(_spellings("Ġ", f"{WORDS} {PROMPT_WORDS}"))
    pieces = _byte_level_pieces(merges, [], [end, *turns])
    fast = Tokenizer(models.BPE(pieces, merges))
    fast.normalizer = normalizers.NFC()
    words = Regex(r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    fast.add_special_tokens([AddedToken(name, normalized=False) for name in (end, *turns)])
    fast.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"$A:0 {end}:0", pair=f"$A:0 {end}:0 $B:1 {end}:1", special_tokens=[(end, pieces[end])]
            ),
        ]
    )
    return Qwen2TokenizerFast(
        tokenizer_file=_saved(fast, directory),
        unk_token=None,
        eos_token="<|im_end|>",
        pad_token=end,
        additional_special_tokens=turns,
        padding_side="left",
        model_max_length=131072,
    )


def _gemma(directory: Path) -> Any:
    """Make a tokenizer as EmbeddingGemma's: BPE over the whole text, with bytes for what no piece covers."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import GemmaTokenizerFast

    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    merges = _merges(_spellings("▁", f"{WORDS} {PROMPT_WORDS}"))
    pieces = dict.fromkeys(
        [
            *specials,
            *(f"<0x{byte:02X}>" for byte in range(256)),
            "\n",
            "▁",
            *CHARACTERS,
            *("".join(pair) for pair in merges),
        ]
    )
    vocabulary = {piece: n for n, piece in enumerate(pieces)}
    fast = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    fast.normalizer = normalizers.Replace(" ", "▁")
    fast.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    fast.add_special_tokens([AddedToken(name, normalized=False) for name in specials])
    return GemmaTokenizerFast(
        tokenizer_file=_saved(fast, directory),
        add_bos_token=True,
        add_eos_token=True,
        mask_token="<mask>",
        model_max_length=2048,
        padding_side="right",
    )


def _unigram_pieces() -> list[tuple[str, float]]:
    words = [*WORDS.split(), "query", "passage", "今天", "図書館"]
    pieces = [("▁", -3.0), *((f"▁{word}", -4.0 - n / 10) for n, word in enumerate(words))]
    return pieces + [(letter, -8.0 - n / 10) for n, letter in enumerate(CHARACTERS)]


def _xlm_roberta(directory: Path) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import XLMRobertaTokenizerFast

    specials = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
    fast = Tokenizer(models.Unigram([*specials, *_unigram_pieces(), ("<mask>", 0.0)], unk_id=3, byte_fallback=False))
    fast.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    fast.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return XLMRobertaTokenizerFast(tokenizer_file=_saved(fast, directory), model_max_length=512)


def _t5(directory: Path) -> Any:
    """Make a tokenizer as T5's: one special token after the text, and sentinels at the end of the vocabulary."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import T5TokenizerFast

    specials = [(name, 0.0) for name in ("<pad>", "</s>", "<unk>")]
    sentinels = [(f"<extra_id_{n}>", 0.0) for n in range(9, -1, -1)]
    fast = Tokenizer(models.Unigram([*specials, *_unigram_pieces(), *sentinels], unk_id=2, byte_fallback=False))
    fast.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    fast.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    fast.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return T5TokenizerFast(tokenizer_file=_saved(fast, directory), extra_ids=len(sentinels), model_max_length=512)


def _deberta_v3(directory: Path) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import DebertaV2TokenizerFast

    specials = [(name, 0.0) for name in ("[PAD]", "[CLS]", "[SEP]", "[UNK]")]
    fast = Tokenizer(models.Unigram([*specials, *_unigram_pieces(), ("[MASK]", 0.0)], unk_id=3, byte_fallback=False))
    fast.normalizer = normalizers.Sequence(
        [normalizers.Strip(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    fast.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace()])
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return DebertaV2TokenizerFast(tokenizer_file=_saved(fast, directory), model_max_length=512)


def _saved(fast: Any, directory: Path) -> str:
    fast.save(str(directory / "tokenizer.json"))
    return str(directory / "tokenizer.json")


TOKENIZERS: dict[str, Callable[[Path], Any]] = {
    "bert": _uncased("BertTokenizerFast"),
    "cased distilbert": _cased_distilbert,
    "mpnet": _mpnet,
    "roberta": _roberta,
    "xlm-roberta": _xlm_roberta,
    "bert of search": _uncased("BertTokenizerFast", "represent this sentence for searching relevant passages"),
    "distilbert": _uncased("DistilBertTokenizerFast"),
    "dpr context": _uncased("DPRContextEncoderTokenizerFast"),
    "dpr question": _uncased("DPRQuestionEncoderTokenizerFast"),
    "labse": _multilingual_cased,
    "wordpiece without special tokens": _wordpiece_without_special_tokens,
    "t5": _t5,
    "deberta-v3": _deberta_v3,
    "modernbert": _modernbert,
    "qwen": _qwen,
    "gemma": _gemma,
}
"""Each function writes a tokenizer's files into a directory and returns transformers' tokenizer for them."""
