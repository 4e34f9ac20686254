"""Static models: limits are checked in the master, tokenizer and table are opened in the worker."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from manifest import BundleError, StaticModel
from runtime.bundle import Bundle
from runtime.host.capacity import Capacity
from runtime.kinds import Load, Model
from runtime.kinds.tokens import TokenRoutes
from runtime.settings import DEFAULT_LISTS_MAX_BODY_BYTES, Settings
from runtime.static.limits import Limits, limits_of
from runtime.text.long_text import LongText
from runtime.text.window_limit import texts_bytes

if TYPE_CHECKING:
    from runtime.batches.request import BatchRequest, Embedded, Group
    from runtime.static.embedder import Vector

LONG_TEXT = LongText.TRUNCATE
"""What is done with long texts unless the operator chose: what the original does."""


NO_TRUNCATION = "the request forbids truncation"

WORKER_MODULES = (
    "runtime.api.embeddings.info",
    "runtime.api.embeddings.likes",
    "runtime.api.embeddings.routes",
    "runtime.api.embeddings.tokens",
    "runtime.api.static_vectors",
    "runtime.batches.batcher",
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
    return partial(_load, bundle, model, settings, texts_bytes(capacity.worker_bytes), long_text, limits)


def needed_bytes(bundle: Bundle, settings: Settings) -> int:
    """Implements ``KindModule.needed_bytes``: a table that all workers map, and texts that take next to nothing."""
    return 0


def _load(
    bundle: Bundle,
    model: StaticModel,
    settings: Settings,
    budget_bytes: int,
    long_text: LongText,
    limits: Limits,
    cores: int,
) -> Model:
    """Raises ``BundleError`` for a file that cannot be loaded."""
    # PERF: imported here, in the worker, so that the master never loads numpy.
    from runtime.api.embeddings.asked import Served
    from runtime.api.embeddings.endpoint import Batches
    from runtime.api.embeddings.info import info_of
    from runtime.api.embeddings.likes import static_like_of
    from runtime.api.embeddings.routes import ERROR_SHAPES, TOKENIZE_PATH, embedding_endpoints
    from runtime.api.static_vectors import StaticVectorsEndpoint
    from runtime.batches.batcher import Batcher
    from runtime.metrics.work_figures import WorkFigures
    from runtime.scheduling.cost_class import Priority
    from runtime.scheduling.parts import JOBS_PER_CORE
    from runtime.scheduling.scheduler import Scheduler
    from runtime.static.embedder import StaticEmbedder
    from runtime.static.no_runs import NoRuns
    from runtime.static.request import StaticRequest
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
    scheduler: Scheduler[Any] = Scheduler(
        lambda begin: begin(), NoRuns, cores, settings.request_seconds, figures=figures
    )

    def embedder_of(limits: Limits) -> StaticEmbedder:
        return StaticEmbedder(model, table, tokenizer, head, limits, figures)

    # By whether a request refuses what is beyond the model's limits.
    refusing = limits_of(model, LongText.ERROR, settings.max_tokens)
    embedders = {False: embedder_of(limits), True: embedder_of(replace(refusing, reason=NO_TRUNCATION))}

    def submit_group(group: Group, priority: Priority) -> Coroutine[Any, Any, Any]:
        return scheduler.submit(partial(embedders[group.like.refuses_long].begin_group, group), priority=priority)

    batcher = Batcher(submit_group, cores, JOBS_PER_CORE * cores, settings.request_seconds, figures=figures)

    async def embed_all(request: BatchRequest, deadline: float | None) -> Embedded:
        with figures.pending(sum(map(len, request.texts)), len(request.texts)):
            return await batcher.embed(request, deadline)

    known = Served(
        bundle.manifest.model,
        settings.model_aliases,
        model.prompts,
        model.dim,
        model.normalizes,
        settings.max_texts,
    )
    batches = Batches(known, lambda choice: static_like_of(choice, model), embed_all)
    tokens = TokenRoutes(scheduler, batches, JOBS_PER_CORE * cores, budget_bytes, settings.request_seconds, figures)

    def endpoint(limits: Limits, batches: Batches | None = None) -> StaticVectorsEndpoint:
        embedder = embedder_of(limits)

        async def submit(request: StaticRequest, deadline: float | None) -> Vector:
            priority = Priority.QUERY if request.is_query else Priority.PASSAGE
            begin, cost = partial(embedder.begin, request), embedder.estimate(request)
            with figures.pending(len(request.text)):
                return await scheduler.submit(begin, (limits, request), cost, priority, deadline)

        return StaticVectorsEndpoint(embedder, submit, model, batches)

    return Model(
        endpoints={
            "/vectors": endpoint(limits, batches),
            **embedding_endpoints(batches),
            TOKENIZE_PATH: tokens.tokenize(lambda like: tokenizer),
        },
        golden_endpoints={"/vectors": endpoint(limits_of(model, LONG_TEXT, None))},
        serving={"long_text": long_text, "max_tokens": limits.tokens, "max_characters": limits.characters},
        jobs=scheduler,
        batcher=batcher,
        read_like=StaticRequest.of_fields,
        figures=figures,
        documents={"/info": info_of(known, limits.tokens)},
        error_shapes=ERROR_SHAPES,
        max_body_bytes=DEFAULT_LISTS_MAX_BODY_BYTES,
    )
