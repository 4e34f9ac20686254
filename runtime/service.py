"""What one worker process serves: the application, and the model that is checked before it reports ready."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from manifest import Golden
from runtime.api.body import AsgiApp
from runtime.errors import GoldenMismatch, describe
from runtime.golden import check_golden
from runtime.http.limits import HttpLimits
from runtime.kinds import Model
from runtime.readiness import Readiness

NOTHING_CHECKED = "golden.json has no request that this server can check: raise MAX_TOKENS, or rebuild with quantize.py"

log = logging.getLogger("cpu2vec")


class Service:
    """Implements ``serving.Service``."""

    def __init__(
        self,
        app: AsgiApp,
        limits: HttpLimits,
        model: Model,
        golden: Golden,
        is_verified: bool,
        readiness: Readiness,
        on_ready: Callable[[], object],
        has_last_word: Callable[[], bool] = lambda: True,
        start_also: Callable[[], object] = lambda: None,
    ) -> None:
        """``is_verified``: whether the build has compared the bundle with the original. ``on_ready``: called once.

        ``has_last_word``: whether it is for this worker to say why there is no service. ``start_also``: is called on
        the event loop, once the model's threads run.
        """
        self.app, self.limits = app, limits
        self._model, self._golden, self._is_verified = model, golden, is_verified
        self._readiness, self._on_ready, self._has_last_word = readiness, on_ready, has_last_word
        self._started_at = time.monotonic()
        self._start_also = start_also
        self._checking: asyncio.Task[None] | None = None

    def start(self, on_failure: Callable[[], object]) -> None:
        self._model.jobs.start()
        self._start_also()
        self._checking = asyncio.get_running_loop().create_task(self._check(on_failure))

    def drain(self) -> None:
        self._readiness.drain()

    def stop(self) -> None:
        self._model.jobs.stop()

    async def _check(self, on_failure: Callable[[], object]) -> None:
        try:
            await self._check_golden()
        except asyncio.CancelledError:
            raise
        # NOTE: a panic in Rust is no Exception; and a server that never says why it is not ready helps nobody.
        except BaseException as error:
            if self._has_last_word():
                log.error("not serving: %s", describe(error))
                log.debug("where it failed:", exc_info=error)
            on_failure()
            return
        self._readiness.started()
        self._on_ready()
        log.info("ready after %.2f s", time.monotonic() - self._started_at)

    async def _check_golden(self) -> None:
        """Raises ``GoldenMismatch``, also where nothing could be checked; a bundle under construction has no requests.

        Raises whatever else the model raises.
        """
        checked = await check_golden(self._golden, self._model.golden_endpoints)
        if not checked and (self._is_verified or self._golden.requests):
            raise GoldenMismatch(NOTHING_CHECKED)
