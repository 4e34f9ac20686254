"""Models of texts and images: limits are checked in the master, both towers are loaded in the worker."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from manifest import ClipModel
from runtime.bundle import Bundle, copied_bytes
from runtime.host.capacity import Capacity
from runtime.images.outline import MOST_BYTES_PER_PIXEL
from runtime.inference.native_ops import NativeOps, load_native_ops
from runtime.kinds import Load, Model
from runtime.kinds.text import load_embedders, steps_of, text_batches, windows_in_flight
from runtime.kinds.tokens import TokenRoutes
from runtime.settings import Settings
from runtime.text.long_text import LongText
from runtime.text.prefixes import with_prefixes
from runtime.text.window_limit import needed_for_windows, texts_bytes, window_limit

if TYPE_CHECKING:
    from runtime.batches.request import Group
    from runtime.images.base64_text import Base64
    from runtime.text.embedder import Vector

LONG_TEXT = LongText.TRUNCATE
"""What is done with long texts unless the operator chose: what the original does."""

DEFAULT_MAX_BODY_BYTES = 64 << 20
"""Some images of an object as cameras make them."""

DEFAULT_MAX_IMAGE_PIXELS = 64_000_000

LARGE_BLOCK = 8 << 20
"""Bytes; more than runs of either tower allocate at a time, and less than the blocks of a large picture."""

KEPT_BYTES = 2 << 20
"""More than a step of reading a large body or a long text of base64 allocates."""

WORKER_MODULES = (
    "runtime.api.embeddings.info",
    "runtime.api.embeddings.likes",
    "runtime.api.embeddings.routes",
    "runtime.api.embeddings.tokens",
    "runtime.api.vectorize",
    "runtime.api.vectors",
    "runtime.batches.batcher",
    "runtime.clip.image_embedder",
    "runtime.clip.tower_batch",
    "runtime.clip.vectorizer",
    "runtime.images.preprocess",
    "runtime.inference.engine",
    "runtime.inference.image_engine",
    "runtime.inference.token_run",
    "runtime.text.embedder",
    "runtime.text.head",
    "runtime.text.tokenizer",
)

log = logging.getLogger("cpu2vec")


def plan(bundle: Bundle, settings: Settings, capacity: Capacity) -> Load:
    """Implements ``KindModule.plan``."""
    model = bundle.manifest.section_as(ClipModel)
    budget_bytes = texts_bytes(capacity.worker_bytes)
    limits = {
        name: window_limit(encoder, settings.max_tokens, budget_bytes) for name, encoder in model.text.encoders.items()
    }
    max_pixels = pixel_limit(settings.max_image_pixels, budget_bytes)
    graphs = [*model.text.graphs.values(), model.image.graph]
    kernels = load_native_ops([graph.ops for graph in graphs], settings.kernels_isa)
    if kernels is not None:
        log.info("native ops use %s", kernels.isa)
    return partial(_load, bundle, model, settings, budget_bytes, limits, max_pixels, kernels)


def needed_bytes(bundle: Bundle, settings: Settings) -> int:
    """Implements ``KindModule.needed_bytes``: the longest text and the largest image are taken as by one worker."""
    model = bundle.manifest.section_as(ClipModel)
    windows = needed_for_windows(model.text.encoders.values(), settings.max_tokens)
    decode = 2 * MOST_BYTES_PER_PIXEL * (settings.max_image_pixels or DEFAULT_MAX_IMAGE_PIXELS)
    return max(windows, decode) + copied_bytes(bundle, [*model.text.graphs.values(), model.image.graph])


def pixel_limit(wanted: int | None, budget_bytes: int) -> int:
    """The most pixels of an image: the user's choice or the default, lowered where one decode would not fit."""
    limit = wanted or DEFAULT_MAX_IMAGE_PIXELS
    affordable = max(1, budget_bytes // MOST_BYTES_PER_PIXEL)
    if affordable >= limit:
        return limit
    log.warning("MAX_IMAGE_PIXELS is lowered to %d: half of a worker's memory is too little to decode more", affordable)
    return affordable


def _load(
    bundle: Bundle,
    model: ClipModel,
    settings: Settings,
    budget_bytes: int,
    limits: Mapping[str, int],
    max_pixels: int,
    kernels: NativeOps | None,
    cores: int,
) -> Model:
    """Raises ``BundleError`` for a file that cannot be loaded."""
    # PERF: imported here, in the worker, so that the master never loads onnxruntime, numpy and Pillow.
    from concurrent.futures import ThreadPoolExecutor

    from runtime.host.memory import map_large_blocks
    from runtime.inference.image_engine import ImageEngine
    from runtime.metrics.work_figures import WorkFigures

    long_text = settings.long_text or LONG_TEXT
    served = with_prefixes(model.text) if settings.query_passage_prefixes else model.text
    figures = WorkFigures()
    map_large_blocks(LARGE_BLOCK, KEPT_BYTES)
    with ThreadPoolExecutor(1) as executor:
        # PERF: one tower is opened beside the other.
        opening = executor.submit(
            ImageEngine, bundle.directory / model.image.graph.file, model.image.graph, cores, kernels
        )
        embedders = load_embedders(bundle, served, long_text, cores, limits, kernels, figures, model.end)
        # PERF: Pillow and others are imported meanwhile.
        from runtime.images.preprocess import Preprocessor
    engine = opening.result()

    from runtime.api.embeddings.info import info_of
    from runtime.api.embeddings.routes import ERROR_SHAPES, TOKENIZE_PATH, embedding_endpoints
    from runtime.api.vectorize import VectorizeEndpoint
    from runtime.api.vectors import VectorsEndpoint
    from runtime.batches.batcher import Batcher
    from runtime.clip.image_embedder import ImageEmbedder
    from runtime.clip.tower_batch import TowerBatch
    from runtime.clip.vectorizer import JOBS_PER_CORE, Vectorizer
    from runtime.scheduling.cost_class import Priority
    from runtime.scheduling.memory_budget import MemoryBudget
    from runtime.scheduling.scheduler import Scheduler
    from runtime.text.request import EmbedRequest

    budget = MemoryBudget(budget_bytes)
    scheduler: Scheduler[Any] = Scheduler(
        lambda begin: begin(), lambda: TowerBatch(budget), cores, settings.request_seconds, figures=figures
    )

    async def embed_text(request: EmbedRequest, deadline: float | None) -> Vector:
        embedder = embedders[request.encoder]
        priority = Priority.QUERY if request.is_query else Priority.PASSAGE
        begin, cost = partial(embedder.begin, request), embedder.estimate(request)
        with figures.pending(len(request.text)):
            return await scheduler.submit(begin, request, cost, priority, deadline)

    def submit_group(group: Group, priority: Priority) -> Coroutine[Any, Any, Any]:
        begin = partial(embedders[group.like.encoder].begin_group, group)
        return scheduler.submit(begin, cost=steps_of(group), priority=priority)

    in_flight = windows_in_flight(served, cores, limits, budget_bytes)
    batcher = Batcher(submit_group, cores, in_flight, settings.request_seconds, figures=figures)
    batches = text_batches(bundle, served, settings, batcher, figures)
    tokens = TokenRoutes(scheduler, batches, in_flight, budget_bytes, settings.request_seconds, figures)

    def fits(request: EmbedRequest) -> bool:
        return embedders[request.encoder].fits(request)

    def vectorize(max_pixels: int) -> VectorizeEndpoint:
        embedder = ImageEmbedder(model.image, Preprocessor(model.image.pixels, max_pixels), engine, budget)

        def embed_image(image: Base64, deadline: float | None) -> Coroutine[Any, Any, Vector]:
            return scheduler.submit(partial(embedder.begin, image), (max_pixels, image), IMAGE_COST, deadline=deadline)

        return VectorizeEndpoint(Vectorizer(embed_text, embed_image, JOBS_PER_CORE * cores).vectors, fits, model.text)

    return Model(
        endpoints={
            "/vectorize": vectorize(max_pixels),
            "/vectors": VectorsEndpoint(embed_text, fits, served, settings.honor_pooling_strategy, batches),
            **embedding_endpoints(batches),
            TOKENIZE_PATH: tokens.tokenize(lambda like: embedders[like.encoder].tokenizer),
        },
        golden_endpoints={
            "/vectorize": vectorize(DEFAULT_MAX_IMAGE_PIXELS),
            "/vectors": VectorsEndpoint(embed_text, fits, model.text, honor_pooling_strategy=False),
        },
        serving={
            "long_text": long_text,
            "window_tokens": limits,
            "max_image_pixels": max_pixels,
            "kernels": kernels.isa if kernels is not None else None,
        },
        jobs=scheduler,
        batcher=batcher,
        read_like=EmbedRequest.of_fields,
        figures=figures,
        documents={"/info": info_of(batches.served, max(limits.values()))},
        error_shapes=ERROR_SHAPES,
        max_body_bytes=DEFAULT_MAX_BODY_BYTES,
    )


IMAGE_COST = 4
"""An image takes about as long as so many windows of a text, so that short texts go first."""
