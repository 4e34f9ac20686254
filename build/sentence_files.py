"""Reads the files of sentence-transformers in a model directory: modules, pooling, prompts, limits.

Every key is either understood, or known not to change vectors, or refused by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.errors import ModelNotFound, UnsupportedModel
from manifest import Pooling, Task

MODULES = "modules.json"
PROMPTS = "config_sentence_transformers.json"
TRANSFORMER = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""The names, in the order in which sentence-transformers looks for them."""

PASSAGE_PROMPTS = ("document", "passage", "corpus")
"""Names under which models declare the prompt for what is searched, in the order of sentence-transformers."""

LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Flags of the older form of a pooling config, and the mode's name in the newer form."""

TRANSFORMER_DEFAULTS = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
    "processing_kwargs": {},
    "unpad_inputs": None,
}
"""Keys of the newer form, with the only values that mean a plain text encoder."""

PROMPT_KEYS_WITHOUT_EFFECT = ("__version__", "model_type", "similarity_fn_name")


@dataclass(frozen=True)
class SentenceFiles:
    """What the files declare. ``max_seq_length`` is None where the tokenizer and the positions decide."""

    pooling: Pooling
    normalize: bool
    max_seq_length: int | None
    prompts: dict[str, str]
    default_prompt: str | None

    def tasks(self) -> dict[str, str]:
        """The prompt's name for each task that has one; an empty prompt is none."""
        candidates = {Task.QUERY: ("query",), Task.PASSAGE: PASSAGE_PROMPTS}
        found = {task: [name for name in names if self.prompts.get(name)] for task, names in candidates.items()}
        return {task.value: names[0] for task, names in found.items() if names}


BARE = SentenceFiles(Pooling.MEAN, normalize=False, max_seq_length=None, prompts={}, default_prompt=None)
"""A transformer without such files: sentence-transformers pools it by masked mean."""


def read_sentence_files(directory: Path) -> SentenceFiles:
    """Raises ``UnsupportedModel`` that names the file and the key."""
    if not (directory / MODULES).exists():
        for name in (PROMPTS, *TRANSFORMER):
            if (directory / name).exists():
                raise UnsupportedModel(
                    f"{name} is there and {MODULES} is not: the sentence-transformers files are incomplete"
                )
        return BARE
    pooling_path, normalize = _read_modules(directory)
    prompts, default_prompt = _read_prompts(directory)
    return SentenceFiles(
        pooling=_read_pooling(directory, f"{pooling_path}/config.json"),
        normalize=normalize,
        max_seq_length=_read_max_seq_length(directory),
        prompts=prompts,
        default_prompt=default_prompt,
    )


def read_object(directory: Path, name: str) -> dict[str, Any]:
    """A JSON object of the directory. Raises ``ModelNotFound`` where it is missing or malformed."""
    value = _read_json(directory, name)
    if not isinstance(value, dict):
        raise ModelNotFound(f"{name} is not a JSON object")
    return value


def _read_json(directory: Path, name: str) -> Any:
    try:
        return json.loads((directory / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelNotFound(f"{directory} has no {name}: the model directory is incomplete") from None
    except OSError as error:
        raise ModelNotFound(f"{name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ModelNotFound(f"{name} is not JSON: {error}") from None


def _read_modules(directory: Path) -> tuple[str, bool]:
    """The pooling module's folder, and whether vectors are normalized."""
    modules = _read_json(directory, MODULES)
    try:
        chain = [(str(module["type"]), str(module["path"])) for module in modules]
    except (TypeError, KeyError):
        raise ModelNotFound(f"{MODULES} is not a list of modules with a type and a path") from None
    kinds = []
    for kind, _ in chain:
        if not kind.startswith("sentence_transformers."):
            raise UnsupportedModel(f"{MODULES}: the module {kind} is not one of sentence-transformers' own")
        kinds.append(kind.rsplit(".", 1)[1])
    for kind in kinds:
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise UnsupportedModel(f"{MODULES}: the module {kind} is not supported")
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise UnsupportedModel(f"{MODULES}: the chain {' > '.join(kinds)} is not supported")
    if chain[0][1] != "":
        raise UnsupportedModel(
            f"{MODULES}: the Transformer lies in {chain[0][1]}, and only the top folder is supported"
        )
    return chain[1][1], kinds[-1] == "Normalize"


def _read_pooling(directory: Path, name: str) -> Pooling:
    config = read_object(directory, name)
    known = {"word_embedding_dimension", "embedding_dimension", "pooling_mode", "include_prompt", *LEGACY_POOLING}
    _refuse_unknown(config, known, name)
    if config.get("include_prompt", True) is not True:
        raise UnsupportedModel(f"{name}: include_prompt is false, which is not supported")
    flags = [mode for flag, mode in LEGACY_POOLING.items() if config.get(flag)]
    declared = config.get("pooling_mode", flags or "mean")
    modes = declared if isinstance(declared, list) else [declared]
    if len(modes) != 1:
        raise UnsupportedModel(f"{name}: a combination of pooling modes is not supported: {json.dumps(modes)}")
    if modes[0] not in list(Pooling):
        raise UnsupportedModel(f"{name}: the pooling mode {modes[0]} is not supported")
    return Pooling(modes[0])


def _read_max_seq_length(directory: Path) -> int | None:
    name = next((name for name in TRANSFORMER if (directory / name).exists()), None)
    if name is None:
        return None
    config = read_object(directory, name)
    _refuse_unknown(config, {"max_seq_length", "do_lower_case", *TRANSFORMER_DEFAULTS}, name)
    for key, plain in TRANSFORMER_DEFAULTS.items():
        if key in config and config[key] != plain:
            raise UnsupportedModel(f"{name}: {key} is {json.dumps(config[key])}, which is not supported")
    limit = config.get("max_seq_length")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UnsupportedModel(f"{name}: max_seq_length is {json.dumps(limit)}, and must be a positive whole number")
    return limit


def _read_prompts(directory: Path) -> tuple[dict[str, str], str | None]:
    if not (directory / PROMPTS).exists():
        return {}, None
    config = read_object(directory, PROMPTS)
    _refuse_unknown(config, {"prompts", "default_prompt_name", "truncate_dim", *PROMPT_KEYS_WITHOUT_EFFECT}, PROMPTS)
    if config.get("truncate_dim") is not None:
        raise UnsupportedModel(f"{PROMPTS}: truncate_dim is {config['truncate_dim']}, which is not supported")
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise UnsupportedModel(f"{PROMPTS}: prompts is not an object of strings")
    default = config.get("default_prompt_name")
    if default is not None and default not in list(prompts):
        raise UnsupportedModel(f"{PROMPTS}: default_prompt_name is {default}, and no prompt has that name")
    return dict(prompts), default


def _refuse_unknown(config: dict[str, Any], known: set[str], name: str) -> None:
    if unknown := sorted(set(config) - known):
        raise UnsupportedModel(f"{name}: the key {unknown[0]} is unknown, and might change vectors")
