"""Composes the server from the environment: settings, bundle, engine, application. Nothing else builds these."""

from __future__ import annotations

import logging
import logging.config
import sys
from typing import TYPE_CHECKING

from manifest import BundleError, TextModel
from runtime.bundle import Bundle, open_bundle
from runtime.errors import SettingsError
from runtime.host.cores import available_cores
from runtime.host.cpu import host_target
from runtime.host.memory import available_memory
from runtime.inference.native_ops import NativeOps, load_native_ops
from runtime.logs import logging_config
from runtime.scheduling.memory_budget import MemoryBudget
from runtime.settings import Settings, read_settings
from runtime.text.window_limit import window_limit

if TYPE_CHECKING:
    from runtime.server.server import Service
    from runtime.text.windows import Windows

EXIT_BAD_START = 2

log = logging.getLogger("cpu2vec")


def main() -> None:
    """Check settings and bundle, then serve until SIGTERM. A bad one ends the process with one line and status 2."""
    try:
        settings = read_settings()
        bundle = open_bundle(settings.bundle)
        log_config = logging_config(settings.log_level, settings.log_format)
        logging.config.dictConfig(log_config)
        limits = _window_limits(settings, bundle)
        ops = [graph.ops for graph in bundle.manifest.text.graphs.values()]
        kernels = load_native_ops(ops, settings.kernels_isa)
    except (SettingsError, BundleError) as error:
        print(f"cpu2vec: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_START)
    _log_start(settings, bundle, kernels)

    from runtime.server.server import Server

    Server(lambda: make_service(settings, bundle, limits, kernels), settings.port, log_config).run()


def make_service(settings: Settings, bundle: Bundle, limits: dict[str, int], kernels: NativeOps | None) -> Service:
    """Load tokenizers and sessions and put the service together; runs in the worker process."""
    from runtime.inference.engine import open_engine
    from runtime.service import EmbeddingService
    from runtime.text.embedder import Embedder
    from runtime.text.head import read_head
    from runtime.text.tokenizer import Tokenizer
    from runtime.text.windows import Windows

    text = bundle.manifest.text
    cores = settings.threads or available_cores()
    engines = {
        name: open_engine(bundle.directory / graph.file, graph, cores, kernels) for name, graph in text.graphs.items()
    }
    heads = read_head(bundle.directory, text.encoders)
    embedders = {}
    for name, encoder in text.encoders.items():
        tokenizer = Tokenizer(bundle.directory / encoder.tokenizer)
        windows = Windows(tokenizer, limits[name], settings.long_text)
        _check_room(windows, limits[name], text)
        embedders[name] = Embedder(encoder, windows, engines[encoder.graph], heads[name])
    return EmbeddingService(settings, bundle, embedders, limits, cores, kernels, MemoryBudget(_memory_for_texts()))


def _memory_for_texts() -> int:
    """Bytes for all texts in work together: half of what the container may use; weights and the rest take the other."""
    return available_memory() // 2


def _window_limits(settings: Settings, bundle: Bundle) -> dict[str, int]:
    budget = _memory_for_texts()
    encoders = bundle.manifest.text.encoders
    return {name: window_limit(encoder, settings.max_tokens, budget) for name, encoder in encoders.items()}


def _check_room(windows: Windows, limit: int, text: TextModel) -> None:
    """Raises ``BundleError`` where a prompt leaves no token of a window to the text."""
    for name, prompt in {"": "", **text.prompts}.items():
        if (room := windows.token_capacity(prompt)) < 1:
            what = f"the prompt {name!r} and special tokens take" if name else "special tokens take"
            raise BundleError(f"a window has {limit} tokens, and {what} {limit - room} of them: set MAX_TOKENS higher")


def _log_start(settings: Settings, bundle: Bundle, kernels: NativeOps | None) -> None:
    manifest = bundle.manifest
    log.info("serving %s (%s, %s) on port %d", manifest.model, manifest.precision, manifest.target, settings.port)
    if kernels is not None:
        log.info("native ops use %s", kernels.isa)
    if settings.without_effect:
        log.info("accepted without effect: %s", ", ".join(settings.without_effect))
    if manifest.target is not host_target():
        log.warning("the bundle was built for %s, and this machine is another: its figures may differ", manifest.target)
