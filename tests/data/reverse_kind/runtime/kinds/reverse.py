"""Serves bundles of models that reverse texts."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any

from sections.reverse import ReverseModel

from runtime.bundle import Bundle
from runtime.host.capacity import Capacity
from runtime.kinds import Load, Model
from runtime.settings import Settings

WORKER_MODULES = ("runtime.api.reverse", "runtime.scheduling.scheduler")


def plan(bundle: Bundle, settings: Settings, capacity: Capacity) -> Load:
    section = bundle.manifest.section_as(ReverseModel)
    return lambda cores: load(section, cores)


def needed_bytes(bundle: Bundle, settings: Settings) -> int:
    return 0


def load(section: ReverseModel, cores: int) -> Model:
    from runtime.api.reverse import ReverseEndpoint

    from runtime.inference.token_run import RunBatch
    from runtime.scheduling.memory_budget import MemoryBudget
    from runtime.scheduling.scheduler import Scheduler

    scheduler: Scheduler[str] = Scheduler(reverse, lambda: RunBatch(MemoryBudget(0)), cores)

    def submit(text: str, deadline: float | None) -> Awaitable[str]:
        return scheduler.submit(text, deadline=deadline)

    endpoint = ReverseEndpoint(submit, section.max_characters)
    return Model({"/reverse": endpoint}, {"/reverse": endpoint}, {"max_characters": section.max_characters}, scheduler)


def reverse(text: str) -> Generator[Any, Any, str]:
    """The steps of a job that needs no engine."""
    yield from ()
    return text[::-1]
