"""Joins the application with the engine behind it, and warms it up: what one worker process serves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from runtime.api.app import create_app
from runtime.api.body import begin_before_body
from runtime.api.limits import Limits
from runtime.bundle import Bundle
from runtime.errors import GoldenMismatch, ServingError
from runtime.golden import check_golden
from runtime.inference.native_ops import NativeOps
from runtime.inference.token_run import RunBatch
from runtime.readiness import Readiness
from runtime.scheduling.memory_budget import MemoryBudget
from runtime.scheduling.scheduler import Scheduler
from runtime.settings import Settings
from runtime.text.embedder import Embedder, Steps
from runtime.text.request import EmbedRequest

log = logging.getLogger("cpu2vec")


class EmbeddingService:
    """Implements ``server.Service`` for one bundle. ``embedders`` and ``window_tokens`` by the encoder's name."""

    def __init__(
        self,
        settings: Settings,
        bundle: Bundle,
        embedders: dict[str, Embedder],
        window_tokens: dict[str, int],
        cores: int,
        kernels: NativeOps | None,
        budget: MemoryBudget,
    ) -> None:
        self._bundle, self._embedders, self._cores = bundle, embedders, cores
        self._readiness = Readiness()
        self._queue = Scheduler(self._begin, lambda: RunBatch(budget), cores)
        self._started_at = time.monotonic()
        self.app = begin_before_body(
            create_app(
                embed=self._queue.submit,
                model=bundle.manifest.text,
                meta={
                    **bundle.meta,
                    "serving": {
                        "long_text": settings.long_text,
                        "window_tokens": window_tokens,
                        "kernels": kernels.isa if kernels is not None else None,
                    },
                },
                readiness=self._readiness,
                limits=Limits(settings.max_body_bytes),
                allowed_tokens=settings.allowed_tokens,
                honor_pooling_strategy=settings.honor_pooling_strategy,
            )
        )

    def start(self, on_failure: Callable[[], object]) -> None:
        self._queue.start()
        threading.Thread(target=self._warm_up, args=(on_failure,), name="warm-up", daemon=True).start()

    def drain(self) -> None:
        self._readiness.drain()

    @property
    def is_idle(self) -> bool:
        return self._queue.in_flight == 0

    def stop(self) -> None:
        self._queue.stop()

    def _begin(self, request: EmbedRequest) -> Steps:
        return self._embedders[request.encoder].begin(request)

    def _warm_up(self, on_failure: Callable[[], object]) -> None:
        def embed(request: EmbedRequest) -> NDArray[np.float32]:
            return self._embedders[request.encoder].embed(request, self._cores)

        def fits(request: EmbedRequest) -> bool:
            return self._embedders[request.encoder].fits(request)

        try:
            check_golden(self._bundle.golden, self._bundle.manifest.text, embed, fits)
        except (GoldenMismatch, ServingError) as error:
            log.error("not serving: %s", error)
            on_failure()
            return
        self._readiness.started()
        log.info("ready after %.2f s, %d core(s)", time.monotonic() - self._started_at, self._cores)
