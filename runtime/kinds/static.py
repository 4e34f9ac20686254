"""Static models: limits are checked in the master, tokenizer and table are opened in the worker."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from manifest import BundleError, StaticModel
from runtime.bundle import Bundle
from runtime.host.capacity import Capacity
from runtime.kinds import Load, Model
from runtime.settings import Settings
from runtime.static.limits import Limits, limits_of
from runtime.text.long_text import LongText

if TYPE_CHECKING:
    from runtime.static.embedder import Vector
    from runtime.static.request import StaticRequest

LONG_TEXT = LongText.TRUNCATE
"""What is done with long texts unless the operator chose: what the original does."""


WORKER_MODULES = (
    "runtime.api.static_vectors",
    "runtime.scheduling.scheduler",
    "runtime.static.embedder",
    "runtime.text.head",
    "runtime.text.tokenizer",
)


def plan(bundle: Bundle, settings: Settings, capacity: Capacity) -> Load:
    """Implements ``KindModule.plan``."""
    model = bundle.manifest.section_as(StaticModel)
    long_text = settings.long_text or LONG_TEXT
    limits = limits_of(model, long_text, settings.max_tokens)
    return partial(_load, bundle, model, settings, long_text, limits)


def needed_bytes(bundle: Bundle, settings: Settings) -> int:
    """Implements ``KindModule.needed_bytes``: a table that all workers map, and texts that take next to nothing."""
    return 0


def _load(
    bundle: Bundle, model: StaticModel, settings: Settings, long_text: LongText, limits: Limits, cores: int
) -> Model:
    """Raises ``BundleError`` for a file that cannot be loaded."""
    # PERF: imported here, in the worker, so that the master never loads numpy.
    from runtime.api.static_vectors import StaticVectorsEndpoint
    from runtime.metrics.work_figures import WorkFigures
    from runtime.scheduling.cost_class import Priority
    from runtime.scheduling.scheduler import Scheduler
    from runtime.static.embedder import StaticEmbedder
    from runtime.static.no_runs import NoRuns
    from runtime.static.table import Table
    from runtime.text.head import read_only_head
    from runtime.text.tokenizer import Tokenizer

    tokenizer = Tokenizer(bundle.directory / model.tokenizer)
    table = Table(bundle.directory, model)
    if tokenizer.vocabulary_size > table.tokens:
        raise BundleError(
            f"{model.tokenizer} has {tokenizer.vocabulary_size} tokens, and only {table.tokens} have a row"
        )
    if model.padding is not None and model.padding.token >= table.tokens:
        raise BundleError(f"static.padding.token must be less than {table.tokens}, not {model.padding.token}")
    head = read_only_head(bundle.directory, model.layers)
    figures = WorkFigures()
    scheduler: Scheduler[Vector] = Scheduler(lambda begin: begin(), NoRuns, cores, settings.request_seconds, figures)

    def endpoint(limits: Limits) -> StaticVectorsEndpoint:
        embedder = StaticEmbedder(model, table, tokenizer, head, limits, figures)

        async def submit(request: StaticRequest, deadline: float | None) -> Vector:
            priority = Priority.QUERY if request.is_query else Priority.PASSAGE
            begin, cost = partial(embedder.begin, request), embedder.estimate(request)
            with figures.pending(len(request.text)):
                return await scheduler.submit(begin, (limits, request), cost, priority, deadline)

        return StaticVectorsEndpoint(embedder, submit, model)

    return Model(
        endpoints={"/vectors": endpoint(limits)},
        golden_endpoints={"/vectors": endpoint(limits_of(model, LONG_TEXT, None))},
        serving={"long_text": long_text, "max_tokens": limits.tokens, "max_characters": limits.characters},
        jobs=scheduler,
        figures=figures,
    )
