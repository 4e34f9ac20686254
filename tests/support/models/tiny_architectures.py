"""Makes the transformers of tiny models: random weights, with configs as the hub's models have them."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

from tests.support.json_files import change
from tests.support.models.tiny_description import HEADS, HIDDEN, INTERMEDIATE, LAYERS, TYPES, TinyModel
from tests.support.paths import DATA

REMOTE_CODE = DATA / "remote_code"
"""The code of models that bring their own is here."""

AUTO_MAP = {
    "AutoConfig": "configuration_hf_nomic_bert.NomicBertConfig",
    "AutoModel": "modeling_hf_nomic_bert.NomicBertModel",
}

SIZES = {
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
}
TABLE_BEYOND_TOKENIZER = 28
"""T5's table of embeddings has this many rows more than its vocabulary."""

CONFIGS = {
    "bert": "BertConfig",
    "distilbert": "DistilBertConfig",
    "electra": "ElectraConfig",
    "roberta": "RobertaConfig",
    "xlm-roberta": "XLMRobertaConfig",
    "mpnet": "MPNetConfig",
    "t5": "T5Config",
    "dpr": "DPRConfig",
    "modernbert": "ModernBertConfig",
    "deberta-v2": "DebertaV2Config",
    "qwen3": "Qwen3Config",
    "gemma3_text": "Gemma3TextConfig",
}


def save_network(directory: Path, model: TinyModel, tokenizer: Any) -> None:
    """Write config.json and the weights. The same ``model.seed`` results in the same weights."""
    import torch

    torch.manual_seed(model.seed)
    with warnings.catch_warnings():
        # NOTE: some architectures use deprecated parts of torch when they are first imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        network = _network(model, tokenizer)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.add_(torch.randn_like(weight) * (0.1 if "norm" in name.lower() else 0.25))
    network.to(getattr(torch, model.dtype)).save_pretrained(directory, max_shard_size=model.shard_size)
    if model.family == "nomic_bert":
        _add_code(directory, model.code_repository)
    if model.family == "gemma3_text":
        # NOTE: transformers halves the declared window when it makes a config, and saves that half.
        declared = _settings(model, tokenizer)["sliding_window"]
        change(directory / "config.json", lambda config: config.update(sliding_window=declared))


def _network(model: TinyModel, tokenizer: Any) -> Any:
    import transformers

    settings = _settings(model, tokenizer)
    if model.family == "nomic_bert":
        from tests.data.remote_code.configuration_hf_nomic_bert import NomicBertConfig
        from tests.data.remote_code.modeling_hf_nomic_bert import NomicBertModel

        return NomicBertModel(NomicBertConfig(**settings)).eval()
    config = getattr(transformers, CONFIGS[model.family])(**settings)
    return getattr(transformers, model.architecture)(config).eval()


def _settings(model: TinyModel, tokenizer: Any) -> dict[str, Any]:
    """Return the keys of the family's config."""
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    common = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id if model.family != "bert" else 0,
        "max_position_embeddings": model.positions,
    }
    match model.family:
        case "distilbert":
            family = common | {"dim": HIDDEN, "hidden_dim": INTERMEDIATE, "n_layers": LAYERS, "n_heads": HEADS}
        case "bert" | "dpr":
            family = common | SIZES | {"type_vocab_size": TYPES}
        case "electra":
            family = common | SIZES | {"type_vocab_size": TYPES, "embedding_size": HIDDEN}
        case "roberta" | "xlm-roberta":
            family = common | SIZES | {"type_vocab_size": 1}
        case "mpnet":
            family = common | SIZES
        case "t5":
            family = {
                "vocab_size": len(tokenizer) + TABLE_BEYOND_TOKENIZER,
                "n_positions": model.positions,
                "d_model": HIDDEN,
                "d_kv": HIDDEN // HEADS,
                "d_ff": INTERMEDIATE,
                "num_layers": LAYERS,
                "num_heads": HEADS,
                "decoder_start_token_id": tokenizer.pad_token_id,
            }
        case "modernbert":
            layers = {"num_hidden_layers": 4, "global_attn_every_n_layers": 3, "local_attention": 8}
            ends = {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
            ends |= {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
            family = common | SIZES | layers | ends
        case "deberta-v2":
            relative = {"relative_attention": True, "max_relative_positions": -1, "position_buckets": 8}
            sharing = {"norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": "p2c|c2p"}
            absent = {"type_vocab_size": 0, "position_biased_input": False}
            family = common | SIZES | relative | sharing | absent
        case "qwen3":
            heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
            ends = {"bos_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.pad_token_id}
            family = common | SIZES | heads | ends | {"tie_word_embeddings": True, "rope_theta": 1000000}
        case "gemma3_text":
            heads = {"num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 16, "query_pre_attn_scalar": 16}
            window = {"num_hidden_layers": 6, "sliding_window": 16, "use_bidirectional_attention": True}
            family = common | SIZES | special | heads | window
        case "nomic_bert":
            sizes = {"n_embd": HIDDEN, "n_head": HEADS, "n_inner": INTERMEDIATE, "n_layer": LAYERS}
            tables = {"n_positions": model.positions, "type_vocab_size": TYPES, "vocab_size": len(tokenizer)}
            family = sizes | tables | {"pad_token_id": tokenizer.pad_token_id}
        case _:
            raise KeyError(model.family)
    return family | model.settings


def _add_code(directory: Path, repository: str | None) -> None:
    prefix = f"{repository}--" if repository else ""
    auto_map = {name: prefix + where for name, where in AUTO_MAP.items()}
    change(directory / "config.json", lambda config: config.update(auto_map=auto_map))
    if repository is None:
        for path in REMOTE_CODE.glob("*.py"):
            shutil.copy(path, directory)
