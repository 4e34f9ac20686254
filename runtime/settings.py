"""Reads the settings: the only module that reads the environment, once, into a frozen value."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from runtime.errors import SettingsError
from runtime.text.long_text import LongText

DEFAULT_PORT = 8080
DEFAULT_MAX_BODY_BYTES = 1 << 20
"""Of a kind of model whose requests are one text."""
DEFAULT_LISTS_MAX_BODY_BYTES = 16 << 20
"""Of a kind of model whose requests may be lists of texts."""
DEFAULT_MAX_TEXTS = 2048
MOST_TEXTS = 1 << 20
DEFAULT_DRAIN_SECONDS = 8
"""With a second for the rest, below the 10 s after which `docker stop` kills."""
DEFAULT_LINGER_SECONDS = 1
DEFAULT_CONNECTION_SECONDS = 60
"""Replicas that are added behind a Kubernetes service get their share of the callers by then."""
MOST_SECONDS = 3600
MOST_WORKERS = 256
DEFAULT_REQUEST_SECONDS = 60
MOST_IMAGE_PIXELS = 89_478_485
"""Above that, Pillow itself takes a picture for an attack."""
ACCEPTED_WITHOUT_EFFECT = (
    "CUDA_CORE",
    "CUDA_MEMORY_FRACTION",
    "CUDA_PER_PROCESS_MEMORY_FRACTION",
    "T2V_TRANSFORMERS_DIRECT_TOKENIZE",
    "TRUST_REMOTE_CODE",
    "USE_QUERY_PROMPT",
    "USE_SENTENCE_TRANSFORMERS_MULTI_PROCESS",
    "USE_SENTENCE_TRANSFORMERS_VECTORIZER",
)
"""Settings of other inference containers that deployments still pass; named in one log line."""

TRUE = frozenset({"1", "true", "on", "yes"})
FALSE = frozenset({"0", "false", "off", "no"})

T = TypeVar("T")
Choice = TypeVar("Choice", bound=StrEnum)


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


VARIABLES = {
    "BUNDLE_DIR": "the bundle to serve",
    "PORT": "port to listen on, on all interfaces (8080)",
    "THREADS": "number of inference threads, at most the container's cores (all of them)",
    "WORKERS": "number of processes that serve, at most that of the threads (one for every two threads)",
    "REQUEST_TIMEOUT": "seconds until a request that was not begun gets 503; 0: never (60)",
    "ENABLE_CACHE": "answer texts of the last minutes from memory (false)",
    "MAX_BODY_BYTES": "the largest request body (16777216, for rerankers 8388608, for images 67108864)",
    "MAX_TEXTS": "the most texts of a request (2048)",
    "MODEL_ALIASES": "comma-separated names that requests may give the model (none: any name)",
    "MAX_IMAGE_PIXELS": "the most pixels of an image (64000000)",
    "MAX_TOKENS": "the most tokens that are embedded in one run (the model's limit)",
    "LONG_TEXT": "longer texts: chunk, truncate or error (by kind of model)",
    "HONOR_POOLING_STRATEGY": "take masked_mean in a request literally (false)",
    "USE_QUERY_PASSAGE_PREFIXES": "prepend query: and passage: in place of the model's own prompts (false)",
    "KERNELS_ISA": "instruction set of the native ops (the best one that the CPU supports)",
    "AUTHENTICATION_ALLOWED_TOKENS": "comma-separated bearer tokens (none: no token needed)",
    "DRAIN_SECONDS": "the most seconds that a stop waits for requests (8)",
    "CONNECTION_SECONDS": "the age at which an answer closes its connection (60; 0: never)",
    "LINGER_SECONDS": "the seconds without requests after which a stop ends (1)",
    "PAGE": "answer GET / with a page for people (true)",
    "LOG_LEVEL": "debug, info, warning or error (info)",
    "LOG_FORMAT": "text or json (text)",
    "ENABLE_CUDA": "must be off",
}
"""Every setting with its meaning and default, for the usage text."""


@dataclass(frozen=True)
class Settings:
    """What the operator has decided."""

    bundle: Path
    port: int
    threads: int | None
    """None: the container's share of the processor decides."""
    workers: int | None
    """None: cores and memory decide."""
    request_seconds: float | None
    """How long a request may wait to be begun; None: without end."""
    enable_cache: bool
    """Whether recent vectors are kept."""
    max_body_bytes: int | None
    """None: the kind of model decides."""
    max_texts: int
    """Of one request."""
    model_aliases: frozenset[str]
    """Empty: requests may name any model."""
    max_image_pixels: int | None
    """None: the kind of model and the container's memory decide."""
    max_tokens: int | None
    """None: the model and the container's memory decide."""
    long_text: LongText | None
    """None: the kind of model decides."""
    honor_pooling_strategy: bool
    query_passage_prefixes: bool
    """Whether texts get prefixes by their task in place of the model's own prompts."""
    kernels_isa: str | None
    """None: the native ops choose."""
    allowed_tokens: frozenset[str]
    """Empty: requests need no token."""
    drain_seconds: int
    """From the signal that stops the server on, requests are answered for at most so long."""
    linger_seconds: int
    connection_seconds: float
    """Infinite: connections are closed for other reasons alone."""
    """And until none has come for so long."""
    page: bool
    """Whether people get a page at ``/``."""
    log_level: LogLevel
    log_format: LogFormat
    without_effect: tuple[str, ...]
    """The names of settings that are set and do nothing here."""

    @property
    def of_text_models(self) -> tuple[str, ...]:
        """The names of settings that are on and do nothing for other kinds of model."""
        switches = {
            "ENABLE_CACHE": self.enable_cache,
            "HONOR_POOLING_STRATEGY": self.honor_pooling_strategy,
            "USE_QUERY_PASSAGE_PREFIXES": self.query_passage_prefixes,
        }
        return tuple(name for name, is_on in switches.items() if is_on)


def read_log_format(environment: Mapping[str, str] = os.environ) -> LogFormat:
    """The format in which everything else is reported. Raises ``SettingsError``."""
    value = environment.get("LOG_FORMAT", "").strip()
    return _choice(LogFormat)("LOG_FORMAT", value) if value else LogFormat.TEXT


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Parse and check every setting. An empty value counts as unset, but for tokens. Raises ``SettingsError``."""

    def read(name: str, parse: Callable[[str, str], T], default: T) -> T:
        value = environment.get(name, "").strip()
        return parse(name, value) if value else default

    if read("ENABLE_CUDA", _boolean, False):
        raise SettingsError("ENABLE_CUDA is on, but this server is CPU-only: unset it or set it to 0")
    return Settings(
        bundle=Path(environment.get("BUNDLE_DIR") or "bundle"),
        port=read("PORT", _integer(1, 65535), DEFAULT_PORT),
        threads=read("THREADS", _integer(1, 1024), None),
        workers=read("WORKERS", _integer(1, MOST_WORKERS), None),
        request_seconds=read("REQUEST_TIMEOUT", _integer(0, 86_400), DEFAULT_REQUEST_SECONDS) or None,
        enable_cache=read("ENABLE_CACHE", _boolean, False),
        max_body_bytes=read("MAX_BODY_BYTES", _integer(1, 1 << 30), None),
        max_texts=read("MAX_TEXTS", _integer(1, MOST_TEXTS), DEFAULT_MAX_TEXTS),
        model_aliases=read("MODEL_ALIASES", _names, frozenset()),
        max_image_pixels=read("MAX_IMAGE_PIXELS", _integer(1, MOST_IMAGE_PIXELS), None),
        max_tokens=read("MAX_TOKENS", _integer(1, 1_000_000), None),
        long_text=read("LONG_TEXT", _choice(LongText), None),
        honor_pooling_strategy=read("HONOR_POOLING_STRATEGY", _boolean, False),
        query_passage_prefixes=read("USE_QUERY_PASSAGE_PREFIXES", _boolean, False),
        kernels_isa=read("KERNELS_ISA", _word, None),
        allowed_tokens=_tokens(environment.get("AUTHENTICATION_ALLOWED_TOKENS")),
        drain_seconds=read("DRAIN_SECONDS", _integer(0, MOST_SECONDS), DEFAULT_DRAIN_SECONDS),
        connection_seconds=read("CONNECTION_SECONDS", _integer(0, 86_400), DEFAULT_CONNECTION_SECONDS) or math.inf,
        linger_seconds=read("LINGER_SECONDS", _integer(0, MOST_SECONDS), DEFAULT_LINGER_SECONDS),
        page=read("PAGE", _boolean, True),
        log_level=read("LOG_LEVEL", _choice(LogLevel), LogLevel.INFO),
        log_format=read_log_format(environment),
        without_effect=tuple(name for name in ACCEPTED_WITHOUT_EFFECT if environment.get(name)),
    )


def _word(name: str, value: str) -> str | None:
    return value.lower()


def _names(name: str, value: str) -> frozenset[str]:
    if names := frozenset(each.strip() for each in value.split(",")) - {""}:
        return names
    raise SettingsError(f"{name} must have comma-separated names, not {value!r}")


def _boolean(name: str, value: str) -> bool:
    word = value.lower()
    if word in TRUE | FALSE:
        return word in TRUE
    raise SettingsError(f"{name} must be 1, true, on, yes, 0, false, off or no, not {value!r}")


def _integer(low: int, high: int) -> Callable[[str, str], int]:
    def parse(name: str, value: str) -> int:
        if value.isascii() and value.isdigit() and low <= int(value) <= high:
            return int(value)
        raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {value!r}")

    return parse


def _choice(kind: type[Choice]) -> Callable[[str, str], Choice]:
    def parse(name: str, value: str) -> Choice:
        for member in kind:
            if member.value == value.lower():
                return member
        *others, last = (member.value for member in kind)
        raise SettingsError(f"{name} must be {', '.join(others)} or {last}, not {value!r}")

    return parse


def _tokens(value: str | None) -> frozenset[str]:
    """Tokens that are set but blank are a secret that got lost: open to everybody is not what was meant."""
    if value is None:
        return frozenset()
    name = "AUTHENTICATION_ALLOWED_TOKENS"
    try:
        # NOTE: the environment holds bytes, which Python has decoded in the way of the locale.
        text = os.fsencode(value).decode()
    except UnicodeError:
        raise SettingsError(f"{name} must be in UTF-8") from None
    if tokens := frozenset(token.strip() for token in text.split(",")) - {""}:
        return tokens
    raise SettingsError(f"{name} has no token: set comma-separated bearer tokens, or unset it")
