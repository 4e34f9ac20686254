"""Rerankers: the limit is checked in the master, tokenizer and engine are loaded in the worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

from manifest import RerankModel
from runtime.bundle import Bundle, copied_bytes
from runtime.errors import SettingsError
from runtime.host.capacity import Capacity
from runtime.inference.native_ops import NativeOps, load_native_ops
from runtime.kinds import Load, Model
from runtime.settings import Settings
from runtime.text.long_text import LongText
from runtime.text.window_limit import needed_for_windows, texts_bytes, window_limit

if TYPE_CHECKING:
    from runtime.api.openapi.operation import Operation
    from runtime.api.rerank_forms import Question
    from runtime.metrics.work_figures import WorkFigures
    from runtime.rerank.request import RerankRequest
    from runtime.rerank.scorer import Scorer

WORKER_MODULES = (
    "runtime.api.rerank",
    "runtime.api.rerank_forms",
    "runtime.inference.engine",
    "runtime.inference.token_run",
    "runtime.rerank.reranker",
    "runtime.text.head",
    "runtime.text.tokenizer",
)

log = logging.getLogger("cpu2vec")

DEFAULT_MAX_BODY_BYTES = 8 << 20
"""32 long documents, as Weaviate sends them, are more than a text's limit of 1 MiB."""

RANKING_PATHS = ("/v1/rerank", "/v2/rerank")


def plan(bundle: Bundle, settings: Settings, capacity: Capacity) -> Load:
    """Implements ``KindModule.plan``."""
    if settings.long_text is LongText.CHUNK:
        raise SettingsError("LONG_TEXT must be truncate or error for a reranker, which reads both texts at once")
    model = bundle.manifest.section_as(RerankModel)
    budget_bytes = texts_bytes(capacity.worker_bytes)
    limit = window_limit(model.encoder, settings.max_tokens, budget_bytes)
    kernels = load_native_ops([graph.ops for graph in model.graphs.values()], settings.kernels_isa)
    if kernels is not None:
        log.info("native ops use %s", kernels.isa)
    return partial(_load, bundle, model, settings, capacity, budget_bytes, limit, kernels)


def needed_bytes(bundle: Bundle, settings: Settings) -> int:
    """Implements ``KindModule.needed_bytes``."""
    model = bundle.manifest.section_as(RerankModel)
    return needed_for_windows([model.encoder], settings.max_tokens) + copied_bytes(bundle, model.graphs.values())


def _load(
    bundle: Bundle,
    model: RerankModel,
    settings: Settings,
    capacity: Capacity,
    budget_bytes: int,
    limit: int,
    kernels: NativeOps | None,
    cores: int,
) -> Model:
    """Raises ``BundleError`` for a file that cannot be loaded."""
    # PERF: imported here, in the worker, so that the master never loads onnxruntime and numpy.
    from runtime.api.rerank import RerankEndpoint
    from runtime.api.rerank_forms import RANKING, SCORES, parse_ranking, parse_rerank
    from runtime.inference.token_run import RunBatch
    from runtime.metrics.work_figures import WorkFigures
    from runtime.rerank.reranker import Reranker
    from runtime.rerank.scorer import Pair, QueryText
    from runtime.scheduling.cost_class import Priority
    from runtime.scheduling.memory_budget import MemoryBudget
    from runtime.scheduling.parts import parts_in_flight
    from runtime.scheduling.scheduler import Scheduler

    figures = WorkFigures()
    scorer = _load_scorer(bundle, model, cores, limit, kernels, figures)
    budget = MemoryBudget(budget_bytes)
    scheduler: Scheduler[Any] = Scheduler(
        scorer.begin, lambda: RunBatch(budget), cores, settings.request_seconds, figures=figures
    )
    pair_bytes = model.encoder.memory.of(limit)
    in_flight = parts_in_flight(cores, pair_bytes, budget_bytes)

    def submit(item: QueryText | Pair, key: Hashable) -> Coroutine[Any, Any, Any]:
        return scheduler.submit(item, key, priority=Priority.QUERY)

    reranker = Reranker(submit, in_flight, settings.request_seconds, figures=figures)

    async def logits(request: RerankRequest, deadline: float | None) -> list[float]:
        documents = request.documents
        characters = len(request.query) * len(documents) + sum(map(len, documents))
        with figures.pending(characters, len(documents)):
            return await reranker.logits(request, deadline)

    def endpoint(parse: Callable[[bytes], Question], operation: Operation = SCORES) -> RerankEndpoint:
        return RerankEndpoint(logits, scorer.fits, model.activation, parse, operation)

    truncate = settings.long_text is not LongText.ERROR
    ranking = endpoint(partial(parse_ranking, model=bundle.manifest.model, truncate=truncate), RANKING)
    return Model(
        endpoints={
            "/rerank": endpoint(partial(parse_rerank, truncate=truncate)),
            **dict.fromkeys(RANKING_PATHS, ranking),
        },
        golden_endpoints={"/rerank": endpoint(parse_rerank)},
        serving={
            "max_tokens": limit,
            "documents_in_flight": sum(
                parts_in_flight(each, pair_bytes, budget_bytes) for each in capacity.worker_cores
            ),
            "kernels": kernels.isa if kernels is not None else None,
        },
        jobs=scheduler,
        figures=figures,
        max_body_bytes=DEFAULT_MAX_BODY_BYTES,
    )


def _load_scorer(
    bundle: Bundle,
    model: RerankModel,
    cores: int,
    limit: int,
    kernels: NativeOps | None,
    figures: WorkFigures,
) -> Scorer:
    from runtime.inference.engine import open_engine
    from runtime.rerank.pair_tokens import PairTokens
    from runtime.rerank.scorer import Scorer
    from runtime.text.head import read_head
    from runtime.text.tokenizer import Tokenizer

    engine = open_engine(bundle.directory / model.graph.file, model.graph, cores, kernels)
    head = read_head(bundle.directory, {"rerank": model.encoder})["rerank"]
    pairs = PairTokens(Tokenizer(bundle.directory / model.encoder.tokenizer), limit, model.token_types)
    return Scorer(model.encoder, pairs, engine, head, figures)
