"""Lists the ways in which the old container may embed differently with the bundle's model: hypotheses to be tested."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from manifest import Encoder, LayerKind, Pooling, PoolingMode, Task, TextModel

CHUNK, TRUNCATE = "chunk", "truncate"
"""These are values of ``LONG_TEXT``; a container without the setting chunks."""


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
class Hypothesis:
    """How texts may become vectors: what the model declares, and what happens to long texts."""

    model: TextModel
    long_text: str = CHUNK


@dataclass(frozen=True)
class Explanation:
    """A possible cause, and the hypothesis under which the bundle embeds as the old container would."""

    cause: Cause
    text: str
    """What the old container does, and what the bundle does instead."""
    hypothesis: Hypothesis


POOLINGS = {PoolingMode.MEAN: Cause.MEAN_POOLING, PoolingMode.CLS: Cause.CLS_POOLING}
"""Other containers use these pooling modes whatever the model declares."""

TENSOR_LAYERS = frozenset({LayerKind.DENSE, LayerKind.LAYER_NORM})
"""Other containers leave out these layers, which have weights of their own."""


def explanations(hypothesis: Hypothesis, task: Task | None) -> list[Explanation]:
    """Explanations whose hypotheses differ from ``hypothesis`` in one thing, for texts with this task."""
    return [
        *_poolings(hypothesis, task),
        *_prompts(hypothesis, task),
        *_routes(hypothesis, task),
        *_layers(hypothesis, task),
        *_long_texts(hypothesis),
    ]


def pooled_by(model: TextModel, mode: PoolingMode) -> TextModel:
    """The model with this pooling in every encoder."""
    encoders = {
        name: replace(encoder, pooling=Pooling((mode,), encoder.pooling.include_prompt))
        for name, encoder in model.encoders.items()
    }
    return replace(model, encoders=encoders)


def _encoder(model: TextModel, task: Task | None) -> Encoder:
    """The encoder of texts with this task."""
    return model.encoders[model.encoder_name(task) or min(model.encoders)]


def _poolings(hypothesis: Hypothesis, task: Task | None) -> Iterator[Explanation]:
    encoder = _encoder(hypothesis.model, task)
    declared = encoder.pooling.modes
    if len(declared) > 1 and any(layer.kind in TENSOR_LAYERS for layer in encoder.layers):
        return  # Those layers only fit the concatenated vectors of all modes.
    for mode, cause in POOLINGS.items():
        if declared != (mode,):
            text = f"the old container uses {mode} pooling, and this model declares {' and '.join(declared)}"
            yield Explanation(cause, text, replace(hypothesis, model=pooled_by(hypothesis.model, mode)))


def _prompt(model: TextModel, task: Task | None) -> str:
    """The text that the model prepends for a task."""
    return model.prompts.get(model.prompt_name(task) or "", "")


def _prompts(hypothesis: Hypothesis, task: Task | None) -> Iterator[Explanation]:
    model = hypothesis.model
    declared = _prompt(model, task)
    instead = f"the bundle prepends {declared!r}" if declared else "the bundle prepends none"
    if declared:
        encoders = {name: replace(encoder, prompt_tokens={}) for name, encoder in model.encoders.items()}
        plain = replace(model, prompts={}, tasks={}, default_prompt=None, encoders=encoders)
        text = f"the old container prepends no prompt, and {instead}"
        yield Explanation(Cause.NO_PROMPT, text, replace(hypothesis, model=plain))
    others = {_prompt(model, other): model.prompt_name(other) for other in (None, Task.QUERY, Task.PASSAGE)}
    for prompt, name in others.items():
        if prompt and prompt != declared and name is not None:
            changed = replace(model, default_prompt=name, tasks=dict.fromkeys(Task, name))
            text = f"the old container prepends the prompt {prompt!r}, and {instead}"
            yield Explanation(Cause.OTHER_PROMPT, text, replace(hypothesis, model=changed))


def _routes(hypothesis: Hypothesis, task: Task | None) -> Iterator[Explanation]:
    model = hypothesis.model
    declared = model.encoder_name(task)
    for name in model.encoders:
        if name != declared:
            changed = replace(model, routes={}, default_encoder=name)
            text = f"the old container sends these texts to the model's route {name}, and the bundle to {declared}"
            yield Explanation(Cause.OTHER_ROUTE, text, replace(hypothesis, model=changed))


def _layers(hypothesis: Hypothesis, task: Task | None) -> Iterator[Explanation]:
    model = hypothesis.model
    encoder = _encoder(model, task)
    if missing := [layer.kind for layer in encoder.layers if layer.kind in TENSOR_LAYERS]:
        bare = {
            name: replace(other, layers=tuple(layer for layer in other.layers if layer.kind not in TENSOR_LAYERS))
            for name, other in model.encoders.items()
        }
        changed = replace(model, encoders=bare, dim=encoder.width * len(encoder.pooling.modes))
        names = " and ".join(dict.fromkeys(kind.replace("_", " ") for kind in missing))
        text = f"the old container leaves out the model's layers after pooling ({names})"
        yield Explanation(Cause.NO_LAYERS, text, replace(hypothesis, model=changed))


def _long_texts(hypothesis: Hypothesis) -> Iterator[Explanation]:
    if hypothesis.long_text != TRUNCATE:
        text = (
            "the old container truncates texts that are longer than the model's window, and the bundle reads them all"
        )
        yield Explanation(Cause.TRUNCATION, text, replace(hypothesis, long_text=TRUNCATE))
