"""Reads from a static model's files everything that its vectors depend on, apart from the table itself."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tokenizers import Tokenizer

from build.errors import UnsupportedModel, first_line
from build.model.card import read_licence
from build.model.files import MODULES, TOKENIZER, WEIGHTS, tensor_shapes
from build.model.json_files import read_object
from build.model.sentence_files import Prompts, read_modules, read_prompts
from build.model.sentence_modules import LAYERS, LayerSpec, finish_layers, read_layers
from build.static.layout import STATIC_MODULE, Layout, find_layout
from manifest import MAX_PADDING, LayerKind, Padding, Reading

MAX_TOKENS = 512
"""model2vec's ``encode`` reads so many tokens of a text unless it is told otherwise."""


@dataclass(frozen=True)
class StaticDescription:
    """Everything that a static model's vectors depend on."""

    layout: Layout
    tokenizer: Tokenizer
    """Without truncation, padding and special tokens around a text."""

    unknown_id: int | None
    """The token that does not count; None: all do."""

    max_tokens: int | None
    characters_per_token: int | None
    """A text is cut to ``max_tokens`` times so many characters before it is tokenized; None: it is not."""

    tokenizer_limit: int | None
    """The tokenizer itself stops at so many tokens, unknown ones included."""

    padding: Padding | None
    """The tokens behind those of each text that count as well; None: there are none."""

    layers: tuple[LayerSpec, ...]
    """What follows the mean."""

    prompts: Prompts
    dim: int
    licence: str | None

    @property
    def weights_file(self) -> Path:
        return self.layout.folder / WEIGHTS


def describe_static(directory: Path) -> StaticDescription:
    """Describe the static model in a directory. Raises ``ModelNotFound`` or ``UnsupportedModel``."""
    layout = find_layout(directory)
    if layout is None:
        raise UnsupportedModel(f"{directory} is not a static model")
    shape = tensor_shapes(layout.folder / WEIGHTS)[layout.tensor]
    if len(shape) != 2 or 0 in shape:
        raise UnsupportedModel(f"{WEIGHTS}: {layout.tensor} must be a table of rows, not of the shape {list(shape)}")
    if layout.reading is Reading.MODEL2VEC:
        return _model2vec(directory, layout, shape[1])
    return _sentence_transformers(directory, layout, shape[1])


def _model2vec(directory: Path, layout: Layout, width: int) -> StaticDescription:
    """What the package's ``StaticModel`` makes of the files."""
    normalize = read_object(layout.config.parent, layout.config.name).get("normalize", False)
    if type(normalize) is not bool:
        raise UnsupportedModel(f"{layout.config.name}: normalize must be true or false, not {json.dumps(normalize)}")
    tokenizer = _load(layout)
    limit = _limit(tokenizer)
    unknown_id = _unknown_id(tokenizer)
    return StaticDescription(
        layout=layout,
        tokenizer=_plain(tokenizer),
        unknown_id=unknown_id,
        max_tokens=MAX_TOKENS,
        characters_per_token=_median_length(tokenizer),
        tokenizer_limit=limit,
        padding=_padding(tokenizer, unknown_id),
        layers=(LayerSpec(LayerKind.NORMALIZE),) if normalize else (),
        prompts=Prompts({}, None, None),
        dim=width,
        licence=read_licence(directory),
    )


def _sentence_transformers(directory: Path, layout: Layout, width: int) -> StaticDescription:
    """What sentence-transformers' ``StaticEmbedding`` and the modules behind it make of the files."""
    _, *rest = read_modules(directory)
    for module in rest:
        if module.kind not in LAYERS:
            raise UnsupportedModel(f"{MODULES}: the module {module.kind} is not supported behind a {STATIC_MODULE}")
    prompts = read_prompts(directory)
    layers, dim = finish_layers(read_layers(directory, rest), width, prompts.truncate_dim)
    tokenizer = _load(layout)
    limit = _limit(tokenizer)
    return StaticDescription(
        layout=layout,
        tokenizer=_plain(tokenizer),
        unknown_id=None,
        max_tokens=None,
        characters_per_token=None,
        tokenizer_limit=limit,
        padding=None,
        layers=layers,
        prompts=prompts,
        dim=dim,
        licence=read_licence(directory),
    )


def _load(layout: Layout) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(layout.folder / TOKENIZER))
    except Exception as error:  # NOTE: tokenizers raises bare Exception.
        raise UnsupportedModel(f"{TOKENIZER} cannot be loaded: {first_line(error)}") from error


def _limit(tokenizer: Tokenizer) -> int | None:
    """Where the tokenizer cuts a text by itself."""
    truncation: dict[str, Any] | None = tokenizer.truncation
    if truncation is None:
        return None
    if truncation["direction"] != "right":
        raise UnsupportedModel(f"{TOKENIZER}: truncation.direction must be right, not {truncation['direction']}")
    return int(truncation["max_length"])


def _padding(tokenizer: Tokenizer, unknown_id: int | None) -> Padding | None:
    """What model2vec averages along with the tokens of a single text: it does not switch padding off."""
    padding: dict[str, Any] | None = tokenizer.padding
    if padding is None or padding["pad_id"] == unknown_id:
        return None
    length, multiple_of = padding["length"] or 0, padding["pad_to_multiple_of"] or 1
    if length == 0 and multiple_of == 1:
        return None  # texts are padded to the longest of those that are encoded together
    # NOTE: a length is rounded up to the multiple, and longer texts are then left as they are.
    rounded = math.ceil(length / multiple_of) * multiple_of
    found = Padding(padding["pad_id"], rounded, 1 if length else multiple_of)
    if padding["direction"] != "right":
        raise UnsupportedModel(f"{TOKENIZER}: padding.direction must be right, not {padding['direction']}")
    if max(found.length, found.multiple_of) > MAX_PADDING:
        raise UnsupportedModel(f"{TOKENIZER}: padding must be to at most {MAX_PADDING} tokens")
    return found


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    """The token that model2vec drops: the one that the tokenizer's model puts in place of what it does not know."""
    token = getattr(tokenizer.model, "unk_token", None)
    if token is None:
        return None
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if token not in vocabulary:
        raise UnsupportedModel(f"{TOKENIZER}: the unknown token {token!r} is not in the vocabulary")
    return vocabulary[token]


def _median_length(tokenizer: Tokenizer) -> int:
    """The median of the tokens' lengths in characters, rounded down, at least 1."""
    return max(1, int(median(map(len, tokenizer.get_vocab()))))


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with nothing around the tokens of a text. Neither package adds special tokens."""
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.no_truncation()
    plain.no_padding()
    plain.post_processor = None
    return plain
