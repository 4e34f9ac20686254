"""The requests that verification makes: every held-out text, spread over the model's prompts and tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from build.model.sentence_files import Prompts
from build.paths import DATA
from manifest import Task

VECTORS_ROUTE = "/vectors"
HELDOUT_FILE = DATA / "heldout.txt"


@dataclass(frozen=True)
class VectorRequest:
    """A text, with the task or the name of the prompt that the request gives."""

    text: str
    task: Task | None = None
    prompt_name: str | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that ``POST /vectors`` takes."""
        options = {"task_type": self.task, "prompt_name": self.prompt_name}
        config = {name: value for name, value in options.items() if value is not None}
        return {"text": self.text, **({"config": config} if config else {})}


Variant = tuple[Task | None, str | None]
"""A task and the name of a prompt."""


def heldout_texts() -> list[str]:
    """One text per line: queries, sentences and paragraphs in many languages, code, oddities.

    No stage before verification reads them.
    """
    return HELDOUT_FILE.read_text(encoding="utf-8").splitlines()


def spread_over_prompts(texts: Sequence[str], routes: Sequence[Task | None], prompts: Prompts) -> list[VectorRequest]:
    """All texts for each of a model's ``routes``; where prompts make a difference, its variants alternate.

    ``prompts`` are the original's, so that a variant which a bundle has lost is still requested.
    """
    requests = []
    for route in routes:
        variants = _variants(prompts) if route is None else [(route, None)]
        requests += [VectorRequest(text, *variants[index % len(variants)]) for index, text in enumerate(texts)]
    return requests


def _variants(prompts: Prompts) -> list[Variant]:
    """Without a prompt or task, by each task, and by the names of the prompts that no task selects."""
    named = {name for name, text in prompts.prompts.items() if text}
    if not named:
        return [(None, None)]
    others = sorted(named - {prompts.default, *prompts.tasks().values()})
    return [(None, None), *((task, None) for task in sorted(Task)), *((None, name) for name in others)]
