"""Lists the other ways in which a container may have embedded with a bundle's model, to be tried as explanations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from manifest import Encoder, LayerKind, Pooling, PoolingMode, Task, TextModel

CHUNK, TRUNCATE = "chunk", "truncate"
"""Values of ``LONG_TEXT``; the first is what a container does by itself."""


class Cause(StrEnum):
    """Why vectors of the same texts differ."""

    MEAN_POOLING = "mean pooling"
    CLS_POOLING = "CLS pooling"
    NO_PROMPT = "no prompt"
    OTHER_PROMPT = "another prompt"
    OTHER_ROUTE = "another route"
    NO_LAYERS = "layers left out"
    TRUNCATION = "long texts cut off"
    LONG_TEXTS = "long texts"
    FIRST_COMPONENTS = "first components only"
    ROUNDING = "rounding"
    ANOTHER_MODEL = "another model"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Way:
    """How texts become vectors: by what the model declares, and by what is done with long ones."""

    model: TextModel
    long_text: str = CHUNK


@dataclass(frozen=True)
class Guess:
    """``says``: what the old container does, and what the bundle does instead."""

    cause: Cause
    says: str
    way: Way


POOLINGS = {PoolingMode.MEAN: Cause.MEAN_POOLING, PoolingMode.CLS: Cause.CLS_POOLING}
"""What other containers pool by, whatever the model says."""

SHAPED = frozenset({LayerKind.DENSE, LayerKind.LAYER_NORM})
"""Layers with tensors, which other containers leave out."""


def guesses(way: Way, task: Task | None) -> list[Guess]:
    """Ways that differ in one thing from ``way``, for texts with this task."""
    return [*_poolings(way, task), *_prompts(way, task), *_routes(way, task), *_layers(way, task), *_long_texts(way)]


def pooled_by(model: TextModel, mode: PoolingMode) -> TextModel:
    """The model with this pooling in every encoder."""
    encoders = {
        name: replace(encoder, pooling=Pooling((mode,), encoder.pooling.include_prompt))
        for name, encoder in model.encoders.items()
    }
    return replace(model, encoders=encoders)


def _encoder(model: TextModel, task: Task | None) -> Encoder:
    """That of texts with this task."""
    return model.encoders[model.encoder_name(task) or min(model.encoders)]


def _poolings(way: Way, task: Task | None) -> Iterator[Guess]:
    encoder = _encoder(way.model, task)
    declared = encoder.pooling.modes
    if len(declared) > 1 and any(layer.kind in SHAPED for layer in encoder.layers):
        return  # Those layers fit the joined vectors of all modes alone.
    for mode, cause in POOLINGS.items():
        if declared != (mode,):
            says = f"the old one pools by {mode}, and this model by {' and '.join(declared)}"
            yield Guess(cause, says, replace(way, model=pooled_by(way.model, mode)))


def _prompt(model: TextModel, task: Task | None) -> str:
    """The text that the model prepends for a task."""
    return model.prompts.get(model.prompt_name(task) or "", "")


def _prompts(way: Way, task: Task | None) -> Iterator[Guess]:
    model = way.model
    here = _prompt(model, task)
    bundles = f"the bundle's is {here!r}" if here else "the bundle puts none there"
    if here:
        encoders = {name: replace(encoder, prompt_tokens={}) for name, encoder in model.encoders.items()}
        plain = replace(model, prompts={}, tasks={}, default_prompt=None, encoders=encoders)
        says = f"the old one puts no prompt in front of texts, and {bundles}"
        yield Guess(Cause.NO_PROMPT, says, replace(way, model=plain))
    others = {_prompt(model, other): model.prompt_name(other) for other in (None, Task.QUERY, Task.PASSAGE)}
    for prompt, name in others.items():
        if prompt and prompt != here and name is not None:
            changed = replace(model, default_prompt=name, tasks=dict.fromkeys(Task, name))
            says = f"the old one puts the prompt {prompt!r} in front of texts, and {bundles}"
            yield Guess(Cause.OTHER_PROMPT, says, replace(way, model=changed))


def _routes(way: Way, task: Task | None) -> Iterator[Guess]:
    taken = way.model.encoder_name(task)
    for name in way.model.encoders:
        if name != taken:
            changed = replace(way.model, routes={}, default_encoder=name)
            says = f"the old one takes the model's way {name} for these texts, and the bundle its way {taken}"
            yield Guess(Cause.OTHER_ROUTE, says, replace(way, model=changed))


def _layers(way: Way, task: Task | None) -> Iterator[Guess]:
    taken = _encoder(way.model, task)
    if left_out := [layer.kind for layer in taken.layers if layer.kind in SHAPED]:
        bare = {
            name: replace(encoder, layers=tuple(layer for layer in encoder.layers if layer.kind not in SHAPED))
            for name, encoder in way.model.encoders.items()
        }
        changed = replace(way.model, encoders=bare, dim=taken.width * len(taken.pooling.modes))
        names = " and ".join(dict.fromkeys(kind.replace("_", " ") for kind in left_out))
        says = f"the old one leaves out the model's layers behind pooling ({names})"
        yield Guess(Cause.NO_LAYERS, says, replace(way, model=changed))


def _long_texts(way: Way) -> Iterator[Guess]:
    if way.long_text != TRUNCATE:
        says = "the old one cuts off texts that are longer than the model takes, and the bundle takes all of them"
        yield Guess(Cause.TRUNCATION, says, replace(way, long_text=TRUNCATE))
