"""Composes the server: settings, bundle, capacity, kind, application. Nothing else builds these."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from manifest import BundleError, Kind, Target
from runtime.bundle import Bundle, open_bundle
from runtime.errors import PortUnavailable, SettingsError
from runtime.host.capacity import Capacity, divide, measure_capacity
from runtime.http.limits import least_total
from runtime.kinds import Load, Model, needed_bytes, plan, worker_modules
from runtime.logs import configure_logging
from runtime.server.listener import listen
from runtime.settings import VARIABLES, LogFormat, LogLevel, Settings, read_log_format, read_settings

if TYPE_CHECKING:
    from runtime.http.scoreboard import Seat
    from runtime.service import Service
    from runtime.siblings.guests import Guests

EXIT_BAD_START = 2

WORKER_MODULES = (
    "runtime.api.app",
    "runtime.api.meta",
    "runtime.api.metrics",
    "runtime.server.serving",
    "runtime.service",
)
"""What every worker imports, whatever the kind of its model."""

log = logging.getLogger("cpu2vec")


def main(arguments: Sequence[str] = ()) -> None:
    """Check settings, port and bundle, then serve until SIGTERM.

    What is wrong with one of them ends the process with one line and status 2.
    """
    if arguments:
        _show_usage(arguments)
    _end_when_asked()
    log_format = LogFormat.TEXT
    try:
        log_format = read_log_format()
        settings = read_settings()
        configure_logging(settings.log_level, log_format)
        with listen(settings.port) as listener:
            _serve(settings, listener)
    except (SettingsError, PortUnavailable, BundleError) as error:
        _refuse(error, log_format)


def _serve(settings: Settings, listener: socket.socket) -> None:
    """Check the bundle, and serve it. Raises ``BundleError`` or ``SettingsError``."""
    bundle = open_bundle(settings.bundle)
    needed = max(needed_bytes(bundle, settings), least_total(settings.max_body_bytes or 0))
    capacity = divide(measure_capacity(settings.threads), settings.workers, needed)
    load = plan(bundle, settings, capacity)
    _log_start(settings, bundle, capacity)

    if capacity.workers > 1:
        _import_for_workers(bundle)

    # PERF: imported last, because a bad setting should be reported at once.
    from runtime.server.server import run_server

    def make(seat: Seat, on_ready: Callable[[], None]) -> Service:
        return make_service(settings, bundle, capacity, load, seat, on_ready)

    run_server(make, listener, settings.drain_seconds, capacity.workers)


def _import_for_workers(bundle: Bundle) -> None:
    """Import what each worker needs before they are forked, so that they share its memory."""
    # NOTE: none of it starts a thread, which a fork would lose. What cannot be imported, the worker will report.
    with suppress(ImportError):
        for name in (*WORKER_MODULES, *worker_modules(bundle)):
            import_module(name)
    # NOTE: what is frozen before the fork is garbage for good where it is garbage.
    gc.collect()


def _end_when_asked() -> None:
    """End at once on a signal that ends a server, until the server takes care of them.

    Process 1 of a container ignores signals that it has no handler for.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            # NOTE: nothing has begun that would have to be brought to an end.
            signal.signal(number, lambda *_: os._exit(0))


def _refuse(error: Exception, log_format: LogFormat) -> NoReturn:
    """Say why there is no server, in one line."""
    if log_format is LogFormat.JSON:
        configure_logging(LogLevel.ERROR, log_format)
        log.error("%s", error)
    else:
        print(f"cpu2vec: {error}", file=sys.stderr)
    sys.exit(EXIT_BAD_START)


def _show_usage(arguments: Sequence[str]) -> NoReturn:
    """Explain the settings, and exit: in error unless the arguments ask for help."""
    asked = arguments[0] in ("-h", "--help")
    width = max(map(len, VARIABLES))
    lines = [f"  {name:<{width}}  {meaning}" for name, meaning in VARIABLES.items()]
    usage = "\n".join(["cpu2vec is configured by environment variables and takes no arguments:", *lines])
    print(usage, file=sys.stdout if asked else sys.stderr)
    sys.exit(0 if asked else EXIT_BAD_START)


def make_service(
    settings: Settings, bundle: Bundle, capacity: Capacity, load: Load, seat: Seat, on_ready: Callable[[], None]
) -> Service:
    """Load the model and put the service together; runs in a worker process. Raises ``BundleError``.

    ``seat``: of this worker among all. ``on_ready``: called once requests are answered.
    """
    # PERF: imported in the worker, so that the master never loads falcon, numpy and onnxruntime.
    from runtime.api.app import create_app
    from runtime.api.meta import meta_of
    from runtime.api.metrics import MetricsResource, figures_info
    from runtime.api.paths import COMMON_PATHS, METRICS_PATH
    from runtime.http.limits import Deadlines, Draining, HttpLimits, Memory
    from runtime.page.document import Page
    from runtime.page.resource import PAGE_PATH
    from runtime.readiness import Readiness
    from runtime.service import Service

    model = load(capacity.worker_cores[seat.number])
    max_body = settings.max_body_bytes or model.max_body_bytes
    limits = HttpLimits(
        Deadlines(request=settings.request_seconds, age=settings.connection_seconds),
        memory=Memory.of(capacity.worker_bytes, max_body),
        draining=Draining(settings.linger_seconds, settings.drain_seconds),
    )
    if limits.memory.max_body < (settings.max_body_bytes or 0) and seat.number == 0:
        log.warning("MAX_BODY_BYTES is lowered to %d: more does not fit into memory", limits.memory.max_body)
    readiness = Readiness(seat.all_have_been_ready)
    page = Page() if settings.page else None
    paths = (*model.endpoints, *model.documents, *([PAGE_PATH] if page else []), *COMMON_PATHS)
    seat.figures.name_routes(tuple(dict.fromkeys(paths)))
    seat.figures.publish_also(model.figures.publish)
    metrics = MetricsResource(seat.board, seat.figures, figures_info(bundle.manifest))

    if model.lone is not None:
        model.lone.requests = lambda: seat.figures.requests
    guests = _meet_siblings(model, capacity, seat) if capacity.workers > 1 else None

    def open_figures() -> None:
        model.figures.open(seat.board.row(seat.number))
        on_ready()

    app = create_app(
        model.endpoints,
        meta_of(bundle, capacity.workers, model.serving),
        readiness,
        settings.allowed_tokens,
        model.documents,
        model.error_shapes,
        {METRICS_PATH: metrics},
        page,
    )
    is_verified = bundle.manifest.fidelity is not None
    return Service(
        app,
        limits,
        model,
        bundle.golden,
        is_verified,
        readiness,
        open_figures,
        seat.has_last_word,
        guests.start if guests is not None else lambda: None,
    )


def _meet_siblings(model: Model, capacity: Capacity, seat: Seat) -> Guests | None:
    """Let all workers embed the texts of large requests together, where the kind of model has such requests."""
    from runtime.siblings.guests import Guests
    from runtime.siblings.siblings import Siblings

    batcher, read_like = model.batcher, model.read_like
    if batcher is None or read_like is None:
        return None
    siblings = Siblings(
        seat.mailboxes, seat.number, capacity.worker_cores, batcher.submit, batcher.in_flight, seat.requests_of
    )
    batcher.spread(siblings)
    return Guests(seat.mailboxes, seat.number, batcher.submit, read_like, seat.count_guest)


def _log_start(settings: Settings, bundle: Bundle, capacity: Capacity) -> None:
    manifest = bundle.manifest
    log.info(
        "serving %s (%s, %s) on port %d, %d core(s)",
        manifest.model,
        manifest.precision,
        manifest.target,
        settings.port,
        capacity.cores,
    )
    if capacity.workers > 1:
        most, least = max(capacity.worker_cores), min(capacity.worker_cores)
        log.info(
            "%d workers, each with %s inference thread(s) and %.0f MB of the memory",
            capacity.workers,
            f"{least} or {most}" if least < most else most,
            capacity.worker_bytes / 1e6,
        )
    tokens = len(settings.allowed_tokens)
    log.info("requests need %s", f"a bearer token: {tokens} allowed" if tokens else "no token")
    if settings.without_effect:
        log.info("accepted without effect: %s", ", ".join(settings.without_effect))
    if manifest.kind is not Kind.TEXT and settings.of_text_models:
        log.warning("without effect for a %s model: %s", manifest.kind, ", ".join(settings.of_text_models))
    if manifest.target is not Target.of_machine():
        log.warning("the bundle was built for %s, and this machine is not: figures may differ", manifest.target)
