"""Makes tiny random models on disk, in the layouts in which the hub has the supported families."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HIDDEN, LAYERS, HEADS, INTERMEDIATE, TYPES = 32, 2, 2, 48, 2
WORD = "river"
"""One token of every tokenizer here, at the start of a text and within it."""

WORDS = f"the a of and {WORD} stone paper green walk seven light under market ferry island leaves at in morning hello"
LETTERS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"()[]{}<>|/\\-_+*=#%&@$éüñßøœŁживаяλόγο"
)
OTHERS = "漢字図書館今天几点关门か駅静喫茶店が한국어العربيةहिन्दी\u0301\u0308\u200d😀🚀👩🔬€—…«»"
CHARACTERS = "".join(dict.fromkeys(LETTERS + OTHERS))

PROMPTS = {"query": "query: ", "passage": "passage: "}


@dataclass(frozen=True)
class TinyModel:
    """What one model's directory shall hold.

    ``pooling`` None: a bare transformer, without sentence-transformers' files. ``newer_form``: files as
    sentence-transformers 5 writes them. ``bake_limits``: tokenizer.json truncates and pads on its own.
    ``without``: files that are removed at the end.
    """

    name: str
    family: str
    tokenizer: str
    architecture: str
    pooling: str | None = "mean"
    normalize: bool = False
    newer_form: bool = False
    positions: int = 64
    max_seq_length: int | None = 48
    do_lower_case: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    dtype: str = "float32"
    shard_size: str = "1GB"
    bake_limits: bool = False
    without: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)


@functools.cache
def home() -> tempfile.TemporaryDirectory[str]:
    """Where this process keeps its models; removed when it ends."""
    return tempfile.TemporaryDirectory(prefix="tiny-models-")


@functools.cache
def make(model: TinyModel) -> Path:
    """The model's directory, made once in this process. The same model gives the same weights."""
    import torch
    import transformers

    directory = Path(home().name) / model.name
    directory.mkdir()
    tokenizer = TOKENIZERS[model.tokenizer](directory)
    config = _config(model, len(tokenizer), tokenizer.pad_token_id)
    torch.manual_seed(sum(model.name.encode()))
    network = getattr(transformers, model.architecture)(config).eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            scale = 0.1 if "LayerNorm" in name or "layer_norm" in name else 0.25
            weight.add_(torch.randn_like(weight) * scale)
    network.to(getattr(torch, model.dtype)).save_pretrained(directory, max_shard_size=model.shard_size)
    tokenizer.save_pretrained(directory)
    if model.bake_limits:
        change(directory / "tokenizer.json", _bake_limits)
    if model.pooling is not None:
        write_sentence_files(directory, model)
    for name in model.without:
        (directory / name).unlink()
    return directory


def copy(model: TinyModel, directory: Path) -> Path:
    """The model in a directory of its own, to be changed."""
    return Path(shutil.copytree(make(model), directory))


def write(path: Path, value: Any) -> None:
    """``value`` as JSON, or as it is where it is text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value, indent=1), encoding="utf-8")


def change(path: Path, edit: Callable[[Any], None]) -> None:
    """Edit a JSON file in place."""
    value = json.loads(path.read_text(encoding="utf-8"))
    edit(value)
    write(path, value)


def write_sentence_files(directory: Path, model: TinyModel) -> None:
    """What sentence-transformers lays beside a transformer, in the form of release 2 or of release 5."""
    new = model.newer_form
    module = "sentence_transformer.modules"
    homes = ("base.modules.transformer", f"{module}.pooling", f"{module}.normalize")
    kinds = ("Transformer", "Pooling", "Normalize") if model.normalize else ("Transformer", "Pooling")
    paths = ("", "1_Pooling", "2_Normalize")
    modules = [
        {
            "idx": n,
            "name": str(n),
            "path": paths[n],
            "type": f"sentence_transformers.{homes[n] if new else 'models'}.{kind}",
        }
        for n, kind in enumerate(kinds)
    ]
    write(directory / "modules.json", modules)
    write(directory / "1_Pooling" / "config.json", pooling_config(model.pooling, new))
    transformer: dict[str, Any] = {"max_seq_length": model.max_seq_length, "do_lower_case": model.do_lower_case}
    if new:
        transformer |= {
            "transformer_task": "feature-extraction",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
            "module_output_name": "token_embeddings",
        }
    write(directory / "sentence_bert_config.json", transformer)
    prompts: dict[str, Any] = {"__version__": {"sentence_transformers": "5.7.0" if new else "2.0.0"}}
    if model.prompts:
        prompts |= {"prompts": model.prompts, "default_prompt_name": model.default_prompt}
    if new:
        prompts |= {"model_type": "SentenceTransformer", "similarity_fn_name": "cosine"}
    write(directory / "config_sentence_transformers.json", prompts)


def pooling_config(mode: str | None, newer_form: bool) -> dict[str, Any]:
    if newer_form:
        return {"embedding_dimension": HIDDEN, "pooling_mode": mode, "include_prompt": True}
    return {
        "word_embedding_dimension": HIDDEN,
        "pooling_mode_cls_token": mode == "cls",
        "pooling_mode_mean_tokens": mode == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }


def _config(model: TinyModel, vocabulary: int, padding: int) -> Any:
    import transformers

    common = {
        "vocab_size": vocabulary,
        "pad_token_id": padding if model.family != "bert" else 0,
        "max_position_embeddings": model.positions,
    }
    if model.family == "distilbert":
        return transformers.DistilBertConfig(
            **common, dim=HIDDEN, hidden_dim=INTERMEDIATE, n_layers=LAYERS, n_heads=HEADS
        )
    kind = {
        "bert": transformers.BertConfig,
        "roberta": transformers.RobertaConfig,
        "xlm-roberta": transformers.XLMRobertaConfig,
        "mpnet": transformers.MPNetConfig,
    }[model.family]
    types = {} if model.family == "mpnet" else {"type_vocab_size": TYPES if model.family == "bert" else 1}
    return kind(
        **common,
        **types,
        hidden_size=HIDDEN,
        intermediate_size=INTERMEDIATE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
    )


def _bake_limits(tokenizer: dict[str, Any]) -> None:
    """As many tokenizer.json on the hub have it: a limit and a fixed length of their own."""
    tokenizer["truncation"] = {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    tokenizer["padding"] = {
        "strategy": {"Fixed": 8},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }


def _wordpiece(specials: list[str], lower: bool) -> list[str]:
    letters = CHARACTERS.lower() if lower else CHARACTERS
    words = [*WORDS.split(), "query", "passage", "ing", "s"]
    return list(dict.fromkeys([*specials, *words, *letters, *(f"##{piece}" for piece in ("ing", "s", *letters))]))


def _bert_tokenizer(directory: Path) -> Any:
    from transformers import BertTokenizerFast

    return BertTokenizerFast(
        vocab_file=_vocabulary(directory, _wordpiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], lower=True)),
        do_lower_case=True,
        model_max_length=64,
    )


def _cased_distilbert_tokenizer(directory: Path) -> Any:
    from transformers import DistilBertTokenizerFast

    return DistilBertTokenizerFast(
        vocab_file=_vocabulary(directory, _wordpiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], lower=False)),
        do_lower_case=False,
        model_max_length=40,
    )


def _mpnet_tokenizer(directory: Path) -> Any:
    from transformers import MPNetTokenizerFast

    words = _wordpiece(["<s>", "<pad>", "</s>", "<unk>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], lower=True)
    return MPNetTokenizerFast(vocab_file=_vocabulary(directory, [*words, "<mask>"]), model_max_length=512)


def _roberta_tokenizer(directory: Path) -> Any:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import RobertaTokenizerFast

    spellings = [*(f"Ġ{word}" for word in WORDS.split()), *WORDS.split()]
    merges = list(dict.fromkeys((word[:n], word[n]) for word in spellings for n in range(1, len(word))))
    alphabet = sorted(ByteLevel.alphabet())
    words = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *alphabet, *("".join(pair) for pair in merges), "<mask>"])
    write(directory / "vocab.json", {word: n for n, word in enumerate(words)})
    write(directory / "merges.txt", "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges))
    return RobertaTokenizerFast(
        vocab_file=str(directory / "vocab.json"), merges_file=str(directory / "merges.txt"), model_max_length=512
    )


def _xlm_roberta_tokenizer(directory: Path) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import XLMRobertaTokenizerFast

    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    words = [*WORDS.split(), "query", "passage", "今天", "図書館"]
    pieces += [(f"▁{word}", -4.0 - n / 10) for n, word in enumerate(words)]
    pieces += [(letter, -8.0 - n / 10) for n, letter in enumerate(CHARACTERS)]
    pieces += [("<mask>", 0.0)]
    fast = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    fast.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    fast.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast.save(str(directory / "tokenizer.json"))
    return XLMRobertaTokenizerFast(tokenizer_file=str(directory / "tokenizer.json"), model_max_length=512)


def _vocabulary(directory: Path, words: list[str]) -> str:
    write(directory / "vocab.txt", "\n".join(words) + "\n")
    return str(directory / "vocab.txt")


TOKENIZERS: dict[str, Callable[[Path], Any]] = {
    "bert": _bert_tokenizer,
    "cased distilbert": _cased_distilbert_tokenizer,
    "mpnet": _mpnet_tokenizer,
    "roberta": _roberta_tokenizer,
    "xlm-roberta": _xlm_roberta_tokenizer,
}
