"""Reads the files that sentence-transformers adds to a transformer: modules, routes and prompts.

Every key is either understood, or known not to change vectors, or refused by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from build.errors import ModelNotFound, UnsupportedModel
from build.model.files import MODULES, SENTENCE_CONFIG
from build.model.json_files import read_json, read_object, refuse_unknown
from build.model.sentence_modules import TRANSFORMER_CONFIGS, Module, ModuleChain, parse_module, read_chain
from build.model.sentence_router import TASK_NAMES, Routing, read_routing
from manifest import ONLY_ENCODER, Task

PROMPT_KEYS_WITHOUT_EFFECT = ("__version__", "model_type", "similarity_fn_name")


@dataclass(frozen=True)
class Prompts:
    """What config_sentence_transformers.json declares."""

    prompts: dict[str, str]
    """The texts that are prepended, by name."""

    default: str | None
    """The name of the prompt for a text that comes without a task."""

    truncate_dim: int | None
    """How many components of a vector are kept; None: all."""

    def tasks(self) -> dict[str, str]:
        """Return the name of each task's prompt. A task whose prompts are all empty is left out."""
        found = {task: [name for name in names if self.prompts.get(name)] for task, names in TASK_NAMES.items()}
        return {task.value: names[0] for task, names in found.items() if names}


@dataclass(frozen=True)
class SentenceFiles:
    """What all files of sentence-transformers declare together."""

    chains: dict[str, ModuleChain]
    """The modules of each encoder, by its name."""

    routes: dict[Task, str]
    """Each task's encoder, where a Router chooses."""

    default: str | None
    """The encoder of a text without a task; None where such a text is refused."""

    prompts: Prompts


def has_sentence_files(directory: Path) -> bool:
    """Whether the directory has such files. Raises ``UnsupportedModel`` where only some of them exist."""
    if (directory / MODULES).exists():
        return True
    for name in (SENTENCE_CONFIG, *TRANSFORMER_CONFIGS):
        if (directory / name).exists():
            raise UnsupportedModel(
                f"{name} exists, but {MODULES} does not: the sentence-transformers files are incomplete"
            )
    return False


def read_sentence_files(directory: Path) -> SentenceFiles:
    """Read them all. Raises ``UnsupportedModel`` that names the file and the key, or ``ModelNotFound``."""
    modules = read_modules(directory)
    routing = _read_routing(directory, modules)
    if routing is None:
        chains = {ONLY_ENCODER: read_chain(directory, modules, MODULES)}
        return SentenceFiles(chains, {}, ONLY_ENCODER, read_prompts(directory))
    index = next(index for index, module in enumerate(modules) if module.kind == "Router")
    chains = {
        route: read_chain(directory, [*modules[:index], *inner, *modules[index + 1 :]], MODULES)
        for route, inner in routing.modules.items()
    }
    return SentenceFiles(chains, routing.routes, routing.default, read_prompts(directory))


def read_prompts(directory: Path) -> Prompts:
    name = SENTENCE_CONFIG
    if not (directory / name).exists():
        return Prompts({}, None, None)
    config = read_object(directory, name)
    refuse_unknown(config, {"prompts", "default_prompt_name", "truncate_dim", *PROMPT_KEYS_WITHOUT_EFFECT}, name)
    size = config.get("truncate_dim")
    if size is not None and (type(size) is not int or size < 1):
        raise UnsupportedModel(f"{name}: truncate_dim must be a positive whole number, not {json.dumps(size)}")
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise UnsupportedModel(f"{name}: prompts must be an object of strings")
    default = config.get("default_prompt_name")
    if default is not None and default not in list(prompts):
        raise UnsupportedModel(f"{name}: default_prompt_name must be the name of a prompt, not {json.dumps(default)}")
    return Prompts(dict(prompts), default, size)


def read_modules(directory: Path) -> list[Module]:
    """The modules of ``modules.json``, in order. Raises ``ModelNotFound`` or ``UnsupportedModel``."""
    entries = read_json(directory, MODULES)
    try:
        pairs = [(str(entry["type"]), str(entry["path"])) for entry in entries]
    except (TypeError, KeyError):
        raise ModelNotFound(f"{MODULES} must be a list of modules, each with a type and a path") from None
    return [parse_module(kind, folder, MODULES) for kind, folder in pairs]


def _read_routing(directory: Path, modules: list[Module]) -> Routing | None:
    routers = [module for module in modules if module.kind == "Router"]
    if len(routers) > 1:
        raise UnsupportedModel(f"{MODULES}: more than one Router is not supported")
    return read_routing(directory, routers[0].folder) if routers else None
