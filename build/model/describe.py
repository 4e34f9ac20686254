"""Reads from a model's files everything that its vectors depend on, without loading the network."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.errors import ModelNotFound, UnsupportedModel
from build.model.card import read_licence
from build.model.families import Family, family_of, whole_number
from build.model.files import CONFIG, MODULES, TOKENIZER, TOKENIZER_CONFIG, VOCABULARIES
from build.model.json_files import read_object
from build.model.sentence_files import Prompts, SentenceFiles, has_sentence_files, read_sentence_files
from build.model.sentence_modules import LayerSpec, ModuleChain, TensorNames, finish_layers
from manifest import ONLY_ENCODER, Activation, LayerKind, Pooling, Task, WorkingMemory

NO_LIMIT = 1_000_000
"""transformers writes a model_max_length above this where there is no limit."""

SPECIAL_TOKENS = 2
"""Every supported family adds this many special tokens to a text at most."""

FLOAT_BYTES = 4


@dataclass(frozen=True)
class EncoderSpec:
    """How one encoder turns a text into a vector."""

    folder: Path
    """The folder of the transformer."""

    family: Family
    width: int
    """Components of a token's embedding."""

    max_tokens: int
    """The limit of a text's tokens, special tokens and prompt included."""

    pooling: Pooling
    layers: tuple[LayerSpec, ...]
    """What follows pooling."""

    memory: WorkingMemory
    """An upper bound for a run in onnxruntime's own kernels."""


@dataclass(frozen=True)
class Description:
    """Everything that a model's vectors depend on."""

    encoders: dict[str, EncoderSpec]
    """Encoders by name."""

    routes: dict[Task, str]
    """Each task's encoder, where a Router chooses between several."""

    default_encoder: str | None
    """The encoder of a text without a task; None where such a text is refused."""

    prompts: Prompts
    dim: int
    """Components of a vector."""

    licence: str | None
    """The license that the model's card declares."""

    @property
    def main_encoder(self) -> str:
        """The encoder of a text without a task; the first by name where there is none."""
        return self.default_encoder or min(self.encoders)


def describe(directory: Path, trust_remote_code: bool) -> Description:
    """Describe the model in a directory. Raises ``ModelNotFound``, ``UnsupportedModel`` or ``RemoteCodeNeeded``."""
    if has_sentence_files(directory):
        files = read_sentence_files(directory)
    else:
        files = _bare_transformer(directory, trust_remote_code)
    encoders: dict[str, EncoderSpec] = {}
    widths: dict[str, int] = {}
    for name, chain in files.chains.items():
        family = family_of(read_object(directory / chain.transformer, CONFIG), trust_remote_code)
        encoders[name], widths[name] = encoder_spec(directory, chain, family, files.prompts.truncate_dim)
    if len(set(widths.values())) > 1:
        lengths = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise UnsupportedModel(f"the routes return vectors of different lengths: {lengths}")
    return Description(
        encoders=encoders,
        routes=files.routes,
        default_encoder=files.default,
        prompts=files.prompts,
        dim=next(iter(widths.values())),
        licence=read_licence(directory),
    )


def _bare_transformer(directory: Path, trust_remote_code: bool) -> SentenceFiles:
    """Describe a transformer alone, which sentence-transformers pools by masked mean, or by last token if causal."""
    config = read_object(directory, CONFIG)
    family = family_of(config, trust_remote_code)
    layers: tuple[LayerSpec, ...] = ()
    if family.projection and (size := whole_number({"projection_dim": 0, **config}, "projection_dim")) > 0:
        names = TensorNames("", f"{family.projection}.weight", f"{family.projection}.bias")
        width = whole_number(config, family.keys.width)
        layers = (LayerSpec(LayerKind.DENSE, width, size, Activation.IDENTITY, names),)
    chain = ModuleChain("", None, Pooling((family.bare_pooling,), include_prompt=True), layers)
    return SentenceFiles({ONLY_ENCODER: chain}, {}, ONLY_ENCODER, Prompts({}, None, None))


def encoder_spec(
    directory: Path, chain: ModuleChain, family: Family, truncate_dim: int | None = None
) -> tuple[EncoderSpec, int]:
    """Return the encoder of a chain of modules, and the number of components of its vectors.

    Raises ``ModelNotFound`` or ``UnsupportedModel``.
    """
    folder = directory / chain.transformer
    config = read_object(folder, CONFIG)
    for name in (TOKENIZER, TOKENIZER_CONFIG):
        if (folder / name).exists():
            read_object(folder, name)  # NOTE: a damaged file is named here; its library checks the rest.
    if family.pooled_by_network and has_sentence_files(directory):
        raise UnsupportedModel(f"{MODULES} is not supported with a {family.architectures[0]}")
    hidden = whole_number(config, family.keys.width)
    layers, width = finish_layers(chain.layers, hidden * len(chain.pooling.modes), truncate_dim)
    _require_tokenizer(folder)
    return (
        EncoderSpec(
            folder=folder,
            family=family,
            width=hidden,
            max_tokens=_max_tokens(folder, config, family, chain.max_seq_length),
            pooling=chain.pooling,
            layers=layers,
            memory=working_memory(config, family, hidden),
        ),
        width,
    )


def _require_tokenizer(folder: Path) -> None:
    """Raise ``ModelNotFound`` where transformers would find no tokenizer, which it reports only after the export."""
    if not any(path.is_file() for pattern in (TOKENIZER, *VOCABULARIES) for path in folder.glob(pattern)):
        names = ", ".join(VOCABULARIES)
        raise ModelNotFound(f"{folder} has neither {TOKENIZER} nor a vocabulary ({names}): it has no tokenizer")


def _max_tokens(folder: Path, config: dict[str, Any], family: Family, max_seq_length: int | None) -> int:
    """Return sentence-transformers' limit: max_seq_length, or the tokenizer's model_max_length where that is not set.

    An original whose limit exceeds its positions fails on longer texts. Here the positions are the limit then.
    """
    limits = [limit for limit in (family.positions(config), max_seq_length) if limit is not None]
    if max_seq_length is None and (folder / TOKENIZER_CONFIG).exists():
        declared = read_object(folder, TOKENIZER_CONFIG).get("model_max_length")
        if declared is not None and type(declared) not in (int, float):
            raise ModelNotFound(f"{TOKENIZER_CONFIG}: model_max_length must be a number, not {json.dumps(declared)}")
        limits += [declared] if declared and declared < NO_LIMIT else []
    if not limits:
        raise UnsupportedModel(
            f"the model does not declare how many tokens a text may have: set model_max_length in {TOKENIZER_CONFIG}"
        )
    if (limit := min(limits)) <= SPECIAL_TOKENS:
        raise UnsupportedModel(f"a limit of {limit} tokens leaves no room for text besides the special tokens")
    return int(limit)


def working_memory(config: dict[str, Any], family: Family, width: int) -> WorkingMemory:
    """Return an upper bound for onnxruntime's stock kernels: the attention scores and hidden states of one layer.

    Measured (docs/performance.md): states of 8 times the width and 3 times the feed-forward width exist at a time.
    """
    heads = whole_number(config, family.keys.heads)
    feed_forward = config.get(family.keys.feed_forward)
    states = 8 * width + 3 * (feed_forward if type(feed_forward) is int else 4 * width)
    per_pair = math.ceil(FLOAT_BYTES * family.score_matrices * heads)
    return WorkingMemory(fixed=0, per_token=FLOAT_BYTES * states, per_pair=per_pair)
