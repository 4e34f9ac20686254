"""The kinds of model that can be served: one module each, one row in ``KINDS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from manifest import Kind
from runtime.bundle import Bundle
from runtime.host.capacity import Capacity
from runtime.metrics.work_figures import WorkFigures
from runtime.settings import DEFAULT_MAX_BODY_BYTES, Settings

if TYPE_CHECKING:
    from runtime.api.endpoint import Endpoint
    from runtime.api.error_handlers import ErrorShape
    from runtime.batches.batcher import Batcher
    from runtime.scheduling.lone_jobs import LoneJobs

KINDS: dict[Kind, str] = {
    Kind.CLIP: "runtime.kinds.clip",
    Kind.RERANK: "runtime.kinds.rerank",
    Kind.STATIC: "runtime.kinds.static",
    Kind.TEXT: "runtime.kinds.text",
}
"""The module of each kind, by name, so that only the libraries of the bundle's own kind are loaded."""


class Jobs(Protocol):
    """What is under way, and the threads that advance it."""

    @property
    def in_flight(self) -> int:
        """Jobs submitted and not finished."""

    def start(self) -> None:
        """Start the threads."""

    def stop(self) -> None:
        """Finish what is waiting, then end the threads."""


@dataclass(frozen=True)
class Model:
    """A bundle that has been loaded."""

    endpoints: Mapping[str, Endpoint[Any]]
    """By path, under the operator's settings."""
    golden_endpoints: Mapping[str, Endpoint[Any]]
    """The same under default settings: golden requests are parsed by these."""
    serving: Mapping[str, Any]
    """What ``/meta`` shows about this server."""
    jobs: Jobs
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What GET requests of other paths are answered, by path."""
    error_shapes: Mapping[str, ErrorShape] = field(default_factory=dict)
    """Of paths whose clients expect another one than ``{"error": …}``."""
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    """The largest body where the operator has not set one."""
    batcher: Batcher | None = None
    """Embeds requests of many texts, whose groups other workers may embed as well. None: each stays with one worker."""
    read_like: Callable[[Mapping[str, Any]], Any] | None = None
    """Makes the request for one of those texts again of what another worker has sent. None: there is no batcher."""
    figures: WorkFigures = field(default_factory=WorkFigures)
    """Where texts and jobs are counted."""
    lone: LoneJobs | None = None
    """Which jobs run on the event loop. None: none."""


Load = Callable[[int], Model]
"""Loads a model for a worker with so many cores; runs in the worker process."""


class KindModule(Protocol):
    """What each module in ``KINDS`` offers."""

    WORKER_MODULES: tuple[str, ...]
    """What a worker imports to serve it."""

    def plan(self, bundle: Bundle, settings: Settings, capacity: Capacity) -> Load:
        """Check settings and bundle, in the master process. Raises ``SettingsError`` or ``BundleError``."""

    def needed_bytes(self, bundle: Bundle, settings: Settings) -> int:
        """The share of memory below which a worker would serve less than another one with more."""


def needed_bytes(bundle: Bundle, settings: Settings) -> int:
    """``KindModule.needed_bytes`` of the bundle's kind."""
    return _module(bundle).needed_bytes(bundle, settings)


def plan(bundle: Bundle, settings: Settings, capacity: Capacity) -> Load:
    """``KindModule.plan`` of the bundle's kind."""
    return _module(bundle).plan(bundle, settings, capacity)


def worker_modules(bundle: Bundle) -> tuple[str, ...]:
    """``KindModule.WORKER_MODULES`` of the bundle's kind."""
    return _module(bundle).WORKER_MODULES


def _module(bundle: Bundle) -> KindModule:
    module: KindModule = import_module(KINDS[bundle.manifest.kind])
    return module
