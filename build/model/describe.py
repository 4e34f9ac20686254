"""Second stage: reads from a model's files what its vectors depend on, without loading it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.errors import ModelNotFound, UnsupportedModel
from build.model.card import read_licence
from build.model.families import Family, family_of, whole_number
from build.model.files import CONFIG, TOKENIZER, TOKENIZER_CONFIG, VOCABULARIES
from build.model.json_files import read_object
from build.model.sentence_files import Prompts, SentenceFiles, has_sentence_files, read_sentence_files
from build.model.sentence_modules import LayerSpec, ModuleChain, TensorNames
from manifest import ONLY_ENCODER, Activation, LayerKind, Pooling, Task, WorkingMemory

NO_LIMIT = 1_000_000
"""A tokenizer's model_max_length above this is transformers' way of saying that there is none."""

SPECIAL_TOKENS = 2
"""How many of a text's tokens are not the text's, at most, in every supported family."""

FLOAT_BYTES = 4


@dataclass(frozen=True)
class EncoderSpec:
    """One way from text to vector.

    ``folder`` holds the transformer; ``width``: components of a token's embedding; ``max_tokens`` counts all tokens.
    """

    folder: Path
    family: Family
    width: int
    max_tokens: int
    pooling: Pooling
    layers: tuple[LayerSpec, ...]
    memory: WorkingMemory


@dataclass(frozen=True)
class Description:
    """``encoders`` by name; ``routes``: a task's encoder; ``dim`` is the vector's number of components."""

    encoders: dict[str, EncoderSpec]
    routes: dict[Task, str]
    default_encoder: str | None
    prompts: Prompts
    dim: int
    licence: str | None

    @property
    def main_encoder(self) -> str:
        """The encoder of a text without a task, else the first."""
        return self.default_encoder or min(self.encoders)


def describe(directory: Path, trust_remote_code: bool) -> Description:
    """Raises ``ModelNotFound``, ``UnsupportedModel`` or ``RemoteCodeNeeded``."""
    files = read_sentence_files(directory) if has_sentence_files(directory) else _bare(directory, trust_remote_code)
    encoders: dict[str, EncoderSpec] = {}
    widths: dict[str, int] = {}
    for name, chain in files.chains.items():
        encoders[name], widths[name] = _plan(directory, chain, files.prompts.truncate_dim, trust_remote_code)
    if len(set(widths.values())) > 1:
        shown = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise UnsupportedModel(f"the routes give vectors of different lengths: {shown}")
    return Description(
        encoders=encoders,
        routes=files.routes,
        default_encoder=files.default,
        prompts=files.prompts,
        dim=next(iter(widths.values())),
        licence=read_licence(directory),
    )


def _bare(directory: Path, trust_remote_code: bool) -> SentenceFiles:
    """A transformer alone: sentence-transformers pools it by masked mean, a causal one by its last token."""
    config = read_object(directory, CONFIG)
    family = family_of(config, trust_remote_code)
    layers: tuple[LayerSpec, ...] = ()
    if family.projection and (size := whole_number({"projection_dim": 0, **config}, "projection_dim")) > 0:
        names = TensorNames("", f"{family.projection}.weight", f"{family.projection}.bias")
        width = whole_number(config, family.keys.width)
        layers = (LayerSpec(LayerKind.DENSE, width, size, Activation.IDENTITY, names),)
    chain = ModuleChain("", None, Pooling((family.bare_pooling,), include_prompt=True), layers)
    return SentenceFiles({ONLY_ENCODER: chain}, {}, ONLY_ENCODER, Prompts({}, None, None))


def _plan(
    directory: Path, chain: ModuleChain, truncate_dim: int | None, trust_remote_code: bool
) -> tuple[EncoderSpec, int]:
    """The encoder of a chain, and the number of its vectors' components."""
    folder = directory / chain.transformer
    config = read_object(folder, CONFIG)
    for name in (TOKENIZER, TOKENIZER_CONFIG):
        if (folder / name).exists():
            read_object(folder, name)  # NOTE: so that a damaged one is named; what is in it, its library checks.
    family = family_of(config, trust_remote_code)
    if family.pooled_by_network and has_sentence_files(directory):
        raise UnsupportedModel(f"sentence-transformers' files beside a {family.architectures[0]} are not supported")
    hidden = whole_number(config, family.keys.width)
    width = hidden * len(chain.pooling.modes)
    for layer in chain.layers:
        if layer.in_features not in (None, width):
            where = layer.tensors.folder if layer.tensors else layer.kind
            raise UnsupportedModel(f"{where}: the layer takes {layer.in_features} components, and gets {width}")
        width = layer.out_features or width
    _require_tokenizer(folder)
    layers = chain.layers
    if truncate_dim is not None and truncate_dim < width:
        layers, width = (*layers, LayerSpec(LayerKind.TRUNCATE, out_features=truncate_dim)), truncate_dim
    return (
        EncoderSpec(
            folder=folder,
            family=family,
            width=hidden,
            max_tokens=_max_tokens(folder, config, family, chain.max_seq_length),
            pooling=chain.pooling,
            layers=layers,
            memory=_working_memory(config, family, hidden),
        ),
        width,
    )


def _require_tokenizer(folder: Path) -> None:
    """Raise ``ModelNotFound`` where the libraries would find no tokenizer, and say so only after the export."""
    if not any(path.is_file() for pattern in (TOKENIZER, *VOCABULARIES) for path in folder.glob(pattern)):
        names = ", ".join(VOCABULARIES)
        raise ModelNotFound(f"{folder} has neither {TOKENIZER} nor a vocabulary ({names}): it has no tokenizer")


def _max_tokens(folder: Path, config: dict[str, Any], family: Family, max_seq_length: int | None) -> int:
    """sentence-transformers' limit: max_seq_length, else the tokenizer's model_max_length; never past the positions.

    Where the original would take more tokens than it has positions, it fails; the limit here is the positions.
    """
    limits = [limit for limit in (family.positions(config), max_seq_length) if limit is not None]
    if max_seq_length is None and (folder / TOKENIZER_CONFIG).exists():
        declared = read_object(folder, TOKENIZER_CONFIG).get("model_max_length")
        if declared is not None and type(declared) not in (int, float):
            raise ModelNotFound(f"{TOKENIZER_CONFIG}: model_max_length is {json.dumps(declared)}, and must be a number")
        limits += [declared] if declared and declared < NO_LIMIT else []
    if not limits:
        raise UnsupportedModel(
            f"nothing states how many tokens a text may have: set model_max_length in {TOKENIZER_CONFIG}"
        )
    if (limit := min(limits)) <= SPECIAL_TOKENS:
        raise UnsupportedModel(f"a limit of {limit} tokens leaves no room for text beside the special tokens")
    return int(limit)


def _working_memory(config: dict[str, Any], family: Family, width: int) -> WorkingMemory:
    """What onnxruntime's stock kernels take for a text, at most: attention scores and states of one layer.

    Measured (docs/performance.md): states of 8 times the width and 3 times the feed-forward width live together.
    """
    heads = whole_number(config, family.keys.heads)
    feed_forward = config.get(family.keys.feed_forward)
    states = 8 * width + 3 * (feed_forward if type(feed_forward) is int else 4 * width)
    per_pair = math.ceil(FLOAT_BYTES * family.score_matrices * heads)
    return WorkingMemory(fixed=0, per_token=FLOAT_BYTES * states, per_pair=per_pair)
