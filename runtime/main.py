"""Composes the server: settings, bundle, capacity, kind, application. Nothing else builds these."""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from manifest import BundleError, Target
from runtime.bundle import Bundle, open_bundle
from runtime.errors import SettingsError
from runtime.host.capacity import Capacity, measure_capacity
from runtime.kinds import Load, plan
from runtime.logs import logging_config
from runtime.settings import VARIABLES, Settings, read_settings

if TYPE_CHECKING:
    from runtime.service import Service

EXIT_BAD_START = 2

log = logging.getLogger("cpu2vec")


def main(arguments: Sequence[str] = ()) -> None:
    """Check settings and bundle, then serve until SIGTERM. A bad one ends the process with one line and status 2."""
    if arguments:
        _show_usage(arguments)
    try:
        settings = read_settings()
        bundle = open_bundle(settings.bundle)
        log_config = logging_config(settings.log_level, settings.log_format)
        logging.config.dictConfig(log_config)
        capacity = measure_capacity(settings.threads)
        load = plan(bundle, settings, capacity)
    except (SettingsError, BundleError) as error:
        print(f"cpu2vec: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_START)
    _log_start(settings, bundle, capacity)

    # PERF: imported last, because a bad setting should be reported at once.
    from runtime.server.server import Server

    Server(lambda: make_service(settings, bundle, capacity, load), settings.port, log_config).run()


def _show_usage(arguments: Sequence[str]) -> NoReturn:
    """Explain the settings, and exit: in error unless the arguments ask for help."""
    asked = arguments[0] in ("-h", "--help")
    width = max(map(len, VARIABLES))
    lines = [f"  {name:<{width}}  {meaning}" for name, meaning in VARIABLES.items()]
    usage = "\n".join(["cpu2vec is configured by environment variables and takes no arguments:", *lines])
    print(usage, file=sys.stdout if asked else sys.stderr)
    sys.exit(0 if asked else EXIT_BAD_START)


def make_service(settings: Settings, bundle: Bundle, capacity: Capacity, load: Load) -> Service:
    """Load the model and put the service together; runs in the worker process. Raises ``BundleError``."""
    # PERF: imported in the worker, so that the master never loads falcon, numpy and onnxruntime.
    from runtime.api.app import create_app
    from runtime.api.meta import meta_of
    from runtime.http.limits import HttpLimits, Memory
    from runtime.readiness import Readiness
    from runtime.service import Service

    limits = HttpLimits(memory=Memory.of(capacity.memory_bytes, settings.max_body_bytes))
    readiness = Readiness()
    model = load()
    app = create_app(
        model.endpoints,
        meta_of(bundle, model.serving),
        readiness,
        settings.allowed_tokens,
    )
    is_verified = bundle.manifest.fidelity is not None
    return Service(app, limits, model, bundle.golden, is_verified, readiness)


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
    if settings.without_effect:
        log.info("accepted without effect: %s", ", ".join(settings.without_effect))
    if manifest.target is not Target.of_machine():
        log.warning("the bundle was built for %s, and this machine is not: figures may differ", manifest.target)
