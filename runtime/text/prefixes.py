"""The prefixes that ``USE_QUERY_PASSAGE_PREFIXES`` asks for, as today's containers prepend them."""

from __future__ import annotations

from dataclasses import replace

from manifest import Task, TextModel

PREFIXES = {task.value: f"{task.value}: " for task in Task}
"""By the task, whose name is also the prompt's: "query: " and "passage: "."""


def with_prefixes(model: TextModel) -> TextModel:
    """The model with these prefixes in place of its own prompts. A text without a task gets none.

    Pooling includes a prefix's tokens, whatever the model does with its own prompts.
    """
    encoders = {name: replace(encoder, prompt_tokens={}) for name, encoder in model.encoders.items()}
    return replace(
        model, prompts=PREFIXES, tasks={task: task for task in PREFIXES}, default_prompt=None, encoders=encoders
    )
