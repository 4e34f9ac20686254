"""Text embedding models: limits are checked in the master, tokenizers and engines are loaded in the worker."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from manifest import BundleError, TextModel
from runtime.bundle import Bundle, copied_bytes
from runtime.host.capacity import Capacity
from runtime.inference.native_ops import NativeOps, load_native_ops
from runtime.kinds import Load, Model
from runtime.kinds.tokens import TokenRoutes
from runtime.settings import DEFAULT_LISTS_MAX_BODY_BYTES, Settings
from runtime.text.long_text import LongText
from runtime.text.prefixes import with_prefixes
from runtime.text.window_limit import needed_for_windows, texts_bytes, window_limit

if TYPE_CHECKING:
    from runtime.api.embeddings.endpoint import Batches
    from runtime.batches.batcher import Batcher
    from runtime.batches.request import BatchRequest, Embedded, Group
    from runtime.inference.engine import Engine
    from runtime.metrics.work_figures import WorkFigures
    from runtime.text.embedder import Embedder
    from runtime.text.windows import Windows

LONG_TEXT = LongText.CHUNK
"""What is done with long texts unless the operator chose."""

TEXTS_PER_RUN = 12
CHARACTERS_PER_RUN = 500
"""So many short texts share a run, or texts of so many characters, more or less, by which the steps of a group are
estimated."""

WORKER_MODULES = (
    "runtime.api.embeddings.info",
    "runtime.api.embeddings.likes",
    "runtime.api.embeddings.routes",
    "runtime.api.embeddings.tokens",
    "runtime.api.vectors",
    "runtime.batches.batcher",
    "runtime.inference.engine",
    "runtime.inference.token_run",
    "runtime.text.embedder",
    "runtime.text.head",
    "runtime.text.tokenizer",
    "runtime.text.vector_cache",
)

log = logging.getLogger("cpu2vec")


def plan(bundle: Bundle, settings: Settings, capacity: Capacity) -> Load:
    """Implements ``KindModule.plan``."""
    text = bundle.manifest.section_as(TextModel)
    budget_bytes = texts_bytes(capacity.worker_bytes)
    limits = {name: window_limit(encoder, settings.max_tokens, budget_bytes) for name, encoder in text.encoders.items()}
    kernels = load_native_ops([graph.ops for graph in text.graphs.values()], settings.kernels_isa)
    if kernels is not None:
        log.info("native ops use %s", kernels.isa)
    return partial(_load, bundle, text, settings, capacity.workers, budget_bytes, limits, kernels)


def needed_bytes(bundle: Bundle, settings: Settings) -> int:
    """Implements ``KindModule.needed_bytes``."""
    text = bundle.manifest.section_as(TextModel)
    return needed_for_windows(text.encoders.values(), settings.max_tokens) + copied_bytes(bundle, text.graphs.values())


def _load(
    bundle: Bundle,
    text: TextModel,
    settings: Settings,
    workers: int,
    budget_bytes: int,
    limits: Mapping[str, int],
    kernels: NativeOps | None,
    cores: int,
) -> Model:
    """Raises ``BundleError`` for a file that cannot be loaded."""
    # PERF: imported here, in the worker, so that the master never loads onnxruntime and numpy.
    from runtime.api.embeddings.info import info_of
    from runtime.api.embeddings.routes import EMBED_ALL_PATH, ERROR_SHAPES, TOKENIZE_PATH, embedding_endpoints
    from runtime.api.vectors import VectorsEndpoint
    from runtime.batches.batcher import Batcher
    from runtime.inference.token_run import RunBatch
    from runtime.metrics.work_figures import WorkFigures
    from runtime.scheduling.cost_class import Priority
    from runtime.scheduling.lone_jobs import LoneJobs
    from runtime.scheduling.memory_budget import MemoryBudget
    from runtime.scheduling.scheduler import Scheduler
    from runtime.text.embedder import Vector
    from runtime.text.request import EmbedRequest
    from runtime.text.vector_cache import MAX_BYTES, cached

    long_text = settings.long_text or LONG_TEXT
    served = with_prefixes(text) if settings.query_passage_prefixes else text
    figures = WorkFigures()
    embedders = load_embedders(bundle, served, long_text, cores, limits, kernels, figures)
    budget = MemoryBudget(budget_bytes)
    lone = LoneJobs(lambda run: run.tokens)

    scheduler: Scheduler[Any] = Scheduler(
        lambda begin: begin(),
        lambda: RunBatch(budget),
        cores,
        settings.request_seconds,
        figures=figures,
        lone=lone,
    )

    async def embed(request: EmbedRequest, deadline: float | None) -> Vector:
        embedder = embedders[request.encoder]
        priority = Priority.QUERY if request.is_query else Priority.PASSAGE
        begin, cost = partial(embedder.begin, request), embedder.estimate(request)
        with figures.pending(len(request.text)):
            return await scheduler.submit(begin, request, cost, priority, deadline, embedder.is_short(request))

    def fits(request: EmbedRequest) -> bool:
        return embedders[request.encoder].fits(request)

    def submit(group: Group, priority: Priority) -> Coroutine[Any, Any, Any]:
        begin = partial(embedders[group.like.encoder].begin_group, group)
        return scheduler.submit(begin, cost=steps_of(group), priority=priority)

    in_flight = windows_in_flight(served, cores, limits, budget_bytes)
    batcher = Batcher(submit, cores, in_flight, settings.request_seconds, figures=figures)
    batches = text_batches(bundle, served, settings, batcher, figures)
    tokens = TokenRoutes(scheduler, batches, in_flight, budget_bytes, settings.request_seconds, figures)
    width = max(encoder.width for encoder in text.encoders.values())
    source = cached(embed, max_bytes=MAX_BYTES // workers, figures=figures) if settings.enable_cache else embed
    return Model(
        endpoints={
            "/vectors": VectorsEndpoint(source, fits, served, settings.honor_pooling_strategy, batches),
            **embedding_endpoints(batches),
            EMBED_ALL_PATH: tokens.embed_all(
                lambda group: embedders[group.like.encoder].begin_tokens(group), width, max(limits.values())
            ),
            TOKENIZE_PATH: tokens.tokenize(lambda like: embedders[like.encoder].tokenizer),
        },
        golden_endpoints={"/vectors": VectorsEndpoint(embed, fits, text, honor_pooling_strategy=False)},
        serving={
            "long_text": long_text,
            "window_tokens": limits,
            "kernels": kernels.isa if kernels is not None else None,
        },
        jobs=scheduler,
        batcher=batcher,
        read_like=EmbedRequest.of_fields,
        figures=figures,
        lone=lone,
        documents={"/info": info_of(batches.served, max(limits.values()))},
        error_shapes=ERROR_SHAPES,
        max_body_bytes=DEFAULT_LISTS_MAX_BODY_BYTES,
    )


def windows_in_flight(text: TextModel, cores: int, limits: Mapping[str, int], budget_bytes: int) -> int:
    """How many windows of the longest kind may be in work at a time."""
    from runtime.scheduling.parts import parts_in_flight

    return parts_in_flight(
        cores, max(text.encoders[name].memory.of(limit) for name, limit in limits.items()), budget_bytes
    )


def steps_of(group: Group) -> int:
    """How many steps the job of a group probably has."""
    return max(len(group.texts) // TEXTS_PER_RUN, sum(map(len, group.texts)) // CHARACTERS_PER_RUN) + 1


def text_batches(
    bundle: Bundle,
    text: TextModel,
    settings: Settings,
    batcher: Batcher,
    figures: WorkFigures,
) -> Batches:
    """What the endpoints for many texts share."""
    from runtime.api.embeddings.asked import Served
    from runtime.api.embeddings.endpoint import Batches
    from runtime.api.embeddings.likes import like_of

    async def embed_all(request: BatchRequest, deadline: float | None) -> Embedded:
        with figures.pending(sum(map(len, request.texts)), len(request.texts)):
            return await batcher.embed(request, deadline)

    served = Served(
        bundle.manifest.model,
        settings.model_aliases,
        text.prompts,
        text.dim,
        all(encoder.normalizes for encoder in text.encoders.values()),
        settings.max_texts,
    )
    return Batches(served, lambda choice: like_of(choice, text), embed_all)


def load_embedders(
    bundle: Bundle,
    text: TextModel,
    long_text: LongText,
    cores: int,
    limits: Mapping[str, int],
    kernels: NativeOps | None,
    figures: WorkFigures,
    end: int | None = None,
) -> dict[str, Embedder]:
    """An embedder for each encoder, by its name. Encoders of one graph share its engine.

    ``end``: the token after whose first occurrence nothing of a text is read; None: there is none.
    """
    from concurrent.futures import ThreadPoolExecutor

    from runtime.inference.engine import open_engine

    def open_engines() -> dict[str, Engine]:
        directory = bundle.directory
        return {name: open_engine(directory / graph.file, graph, cores, kernels) for name, graph in text.graphs.items()}

    with ThreadPoolExecutor(1) as executor:
        # PERF: onnxruntime opens graphs without the interpreter, which meanwhile imports the rest and reads tokenizers.
        opening = executor.submit(open_engines)
        from runtime.text.embedder import Embedder
        from runtime.text.head import read_head
        from runtime.text.tokenizer import Tokenizer
        from runtime.text.windows import Windows

        heads = read_head(bundle.directory, text.encoders)
        windows = {}
        for name, encoder in text.encoders.items():
            tokenizer = Tokenizer(bundle.directory / encoder.tokenizer)
            windows[name] = Windows(tokenizer, limits[name], long_text)
            _check_capacity(windows[name], limits[name], text.prompts)
    engines = opening.result()
    return {
        name: Embedder(encoder, windows[name], engines[encoder.graph], heads[name], figures, end)
        for name, encoder in text.encoders.items()
    }


def _check_capacity(windows: Windows, limit: int, prompts: Mapping[str, str]) -> None:
    """Raises ``BundleError`` if a prompt leaves no token of a window to the text."""
    for name, prompt in {"": "", **prompts}.items():
        if (capacity := windows.token_capacity(prompt)) < 1:
            what = f"the prompt {name!r} and special tokens take" if name else "special tokens take"
            raise BundleError(
                f"a window has {limit} tokens, and {what} {limit - capacity} of them: set MAX_TOKENS higher"
            )
