"""The section of text embedding models: how a text becomes the original's vector."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sections.base import BundleError, require_name, require_positive
from sections.parts import Encoder, Graph

ONLY_ENCODER = "text"
"""Name of the encoder in a model that has one for all texts."""


class Task(StrEnum):
    QUERY = "query"
    PASSAGE = "passage"


@dataclass(frozen=True)
class Resolved:
    """What a task and a prompt's name select."""

    encoder: str
    """The name of the encoder."""
    prompt: str
    """The text to prepend."""
    skipped_tokens: int
    """How many leading tokens pooling skips."""


@dataclass(frozen=True)
class TextModel:
    """What the runtime needs to know to turn a text into the original's vector."""

    dim: int
    """Components of a vector."""
    prompts: dict[str, str]
    """The text that each prompt prepends, by the prompt's name."""
    default_prompt: str | None
    """The name of the prompt of a request without a task."""
    tasks: dict[str, str]
    """The name of the prompt of each task."""
    encoders: dict[str, Encoder]
    """One, or one for each route of an asymmetric model."""
    routes: dict[str, str]
    """The name of the encoder of each task."""
    default_encoder: str | None
    """The encoder of requests that ``routes`` does not cover; None: such a request is refused."""
    graphs: dict[str, Graph]

    def resolve(self, task: Task | None, prompt_name: str | None = None) -> Resolved | None:
        """The encoder and prompt of a request: that of ``prompt_name`` where it is given, else the task's.

        None where the model needs a task to choose an encoder.
        """
        encoder = self.encoder_name(task)
        if encoder is None:
            return None
        name = prompt_name or self.prompt_name(task)
        if name is None:
            return Resolved(encoder, "", 0)
        return Resolved(encoder, self.prompts[name], self.encoders[encoder].prompt_tokens.get(name, 0))

    def prompt_name(self, task: Task | None) -> str | None:
        """The name of a task's prompt, without a task that of the default prompt; None: nothing is prepended."""
        return self.default_prompt if task is None else self.tasks.get(task)

    def encoder_name(self, task: Task | None) -> str | None:
        """The encoder for a task; None where a request without a task does not say which one to take."""
        return self.default_encoder if task is None else self.routes.get(task, self.default_encoder)

    @property
    def route_tasks(self) -> tuple[Task | None, ...]:
        """A task for each route that a text can take; None alone where the task does not matter."""
        return tuple(Task(task) for task in sorted(self.routes)) or (None,)

    @property
    def main_encoder(self) -> Encoder:
        """The encoder of a text without a task, or else the first."""
        return self.encoders[self.default_encoder or min(self.encoders)]

    def files(self) -> set[str]:
        """Graphs with their weights, tokenizers, and the tensors of layers."""
        names = {name for graph in self.graphs.values() for name in (graph.file, graph.weights)}
        return names.union(*(encoder.files() for encoder in self.encoders.values()))

    def check(self) -> None:
        """Raises ``BundleError`` that names the first field whose value cannot be."""
        if not self.encoders:
            raise BundleError("text.encoders is empty")
        require_name("text.default_prompt", self.default_prompt, self.prompts)
        require_name("text.default_encoder", self.default_encoder, self.encoders)
        self._check_tasks("tasks", self.tasks, set(self.prompts))
        self._check_tasks("routes", self.routes, set(self.encoders))
        require_positive("text.dim", self.dim)
        for name, graph in self.graphs.items():
            graph.check(f"text.graphs.{name}")
        for name, encoder in self.encoders.items():
            encoder.check(f"text.encoders.{name}", self.graphs, self.prompts)

    @staticmethod
    def _check_tasks(field: str, names: dict[str, str], known: set[str]) -> None:
        for task, name in names.items():
            if task not in tuple(Task):
                raise BundleError(f"text.{field} has an unknown task: {task}")
            require_name(f"text.{field}.{task}", name, known)
