"""Says in which ways a model's texts can be asked for, and deals the held-out texts out to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from build.model.sentence_files import Prompts
from manifest import Task


@dataclass(frozen=True)
class Candidate:
    """A text, with the task or the name of the prompt that a request gives with it."""

    text: str
    task: Task | None = None
    prompt_name: str | None = None


Way = tuple[Task | None, str | None]
"""A task and the name of a prompt."""


def deal_out(texts: Sequence[str], routes: Sequence[Task | None], prompts: Prompts) -> list[Candidate]:
    """All texts for each of a model's ``routes``; where prompts make a difference, its ways take turns.

    ``prompts`` are the original's: a way that a bundle has lost is still asked for.
    """
    dealt = []
    for route in routes:
        ways = _ways(prompts) if route is None else [(route, None)]
        dealt += [Candidate(text, *ways[place % len(ways)]) for place, text in enumerate(texts)]
    return dealt


def _ways(prompts: Prompts) -> list[Way]:
    """Without anything, by each task, and by the names of the prompts that no task leads to."""
    named = {name for name, text in prompts.prompts.items() if text}
    if not named:
        return [(None, None)]
    others = sorted(named - {prompts.default, *prompts.tasks().values()})
    return [(None, None), *((task, None) for task in sorted(Task)), *((None, name) for name in others)]
