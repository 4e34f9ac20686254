"""Composes the server from the environment: settings, bundle, engine, application. Nothing else builds these."""

from __future__ import annotations

import logging
import logging.config
import sys
from typing import TYPE_CHECKING

from manifest import TOKEN_GRAPH, TOKENIZER_FILE, BundleError
from runtime.bundle import Bundle, open_bundle
from runtime.cores import available_cores
from runtime.cpu import host_target
from runtime.errors import SettingsError
from runtime.logs import logging_config
from runtime.settings import Settings, read_settings

if TYPE_CHECKING:
    from runtime.server import Service

EXIT_BAD_START = 2

log = logging.getLogger("cpu2vec")


def main() -> None:
    """Check settings and bundle, then serve until SIGTERM. A bad one ends the process with one line and status 2."""
    try:
        settings = read_settings()
        bundle = open_bundle(settings.bundle)
    except (SettingsError, BundleError) as error:
        print(f"cpu2vec: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_START)
    log_config = logging_config(settings.log_level, settings.log_format)
    logging.config.dictConfig(log_config)
    _log_start(settings, bundle)

    from runtime.server import Server

    Server(lambda: make_service(settings, bundle), settings.port, log_config).run()


def make_service(settings: Settings, bundle: Bundle) -> Service:
    """Load tokenizer and sessions and put the service together; runs in the worker process."""
    from runtime.embedder import Embedder
    from runtime.engine import Engine
    from runtime.service import EmbeddingService
    from runtime.tokenizer import Tokenizer

    text = bundle.manifest.text
    cores = settings.threads or available_cores()
    tokenizer = Tokenizer(bundle.directory / TOKENIZER_FILE, text.max_tokens)
    graph = text.graphs[TOKEN_GRAPH]
    engine = Engine(bundle.directory / graph.file, graph, cores)
    return EmbeddingService(settings, bundle, Embedder(text, tokenizer, engine), cores)


def _log_start(settings: Settings, bundle: Bundle) -> None:
    manifest = bundle.manifest
    log.info("serving %s (%s, %s) on port %d", manifest.model, manifest.precision, manifest.target, settings.port)
    if settings.without_effect:
        log.info("accepted without effect: %s", ", ".join(settings.without_effect))
    if manifest.target is not host_target():
        log.warning("the bundle was built for %s, and this machine is another: its figures may differ", manifest.target)
