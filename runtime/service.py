"""What one worker process serves: the application, and the model that is checked before it reports ready."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from manifest import Golden
from runtime.api.body import AsgiApp
from runtime.errors import GoldenMismatch, ServingError
from runtime.golden import check_golden
from runtime.http.limits import HttpLimits
from runtime.kinds import Model
from runtime.readiness import Readiness

log = logging.getLogger("cpu2vec")


class Service:
    """Implements ``server.Service``."""

    def __init__(
        self,
        app: AsgiApp,
        limits: HttpLimits,
        model: Model,
        golden: Golden,
        is_verified: bool,
        readiness: Readiness,
    ) -> None:
        """``is_verified``: whether the build has compared the bundle with the original."""
        self.app, self.limits = app, limits
        self._model, self._golden, self._is_verified, self._readiness = model, golden, is_verified, readiness
        self._started_at = time.monotonic()
        self._checking: asyncio.Task[None] | None = None

    def start(self, on_failure: Callable[[], object]) -> None:
        self._model.jobs.start()
        self._checking = asyncio.get_running_loop().create_task(self._check(on_failure))

    def drain(self) -> None:
        self._readiness.drain()

    def stop(self) -> None:
        self._model.jobs.stop()

    async def _check(self, on_failure: Callable[[], object]) -> None:
        try:
            checked = await check_golden(self._golden, self._model.golden_endpoints)
            if self._is_verified and not checked:
                raise GoldenMismatch("golden.json has no request that this server can check: rebuild with quantize.py")
        except (GoldenMismatch, ServingError) as error:
            log.error("not serving: %s", error)
            on_failure()
            return
        self._readiness.started()
        log.info("ready after %.2f s", time.monotonic() - self._started_at)
