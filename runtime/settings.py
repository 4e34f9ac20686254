"""Reads the settings: the only module that reads the environment, once, into a frozen value."""

from __future__ import annotations

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
ACCEPTED_WITHOUT_EFFECT = (
    "CUDA_CORE",
    "CUDA_MEMORY_FRACTION",
    "CUDA_PER_PROCESS_MEMORY_FRACTION",
    "ENABLE_CACHE",
    "T2V_TRANSFORMERS_DIRECT_TOKENIZE",
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


@dataclass(frozen=True)
class Settings:
    """Sizes are in bytes. ``threads`` and ``max_tokens`` are None where the container's share of processor and memory
    decides, and the model; ``kernels_isa`` where the native ops choose by themselves.
    """

    bundle: Path
    port: int
    threads: int | None
    max_body_bytes: int
    max_tokens: int | None
    long_text: LongText
    honor_pooling_strategy: bool
    kernels_isa: str | None
    allowed_tokens: frozenset[str]
    log_level: LogLevel
    log_format: LogFormat
    without_effect: tuple[str, ...]


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Parse and check every setting. An empty value counts as unset. Raises ``SettingsError``."""

    def read(name: str, parse: Callable[[str, str], T], default: T) -> T:
        value = environment.get(name, "").strip()
        return parse(name, value) if value else default

    if read("ENABLE_CUDA", _boolean, False):
        raise SettingsError("ENABLE_CUDA is on, and this image is CPU-only: unset it or set it to 0")
    return Settings(
        bundle=Path(environment.get("BUNDLE_DIR") or "bundle"),
        port=read("PORT", _integer(1, 65535), DEFAULT_PORT),
        threads=read("THREADS", _integer(1, 1024), None),
        max_body_bytes=read("MAX_BODY_BYTES", _integer(1, 1 << 30), DEFAULT_MAX_BODY_BYTES),
        max_tokens=read("MAX_TOKENS", _integer(1, 1_000_000), None),
        long_text=read("LONG_TEXT", _choice(LongText), LongText.CHUNK),
        honor_pooling_strategy=read("HONOR_POOLING_STRATEGY", _boolean, False),
        kernels_isa=read("KERNELS_ISA", _word, None),
        allowed_tokens=read("AUTHENTICATION_ALLOWED_TOKENS", _tokens, frozenset()),
        log_level=read("LOG_LEVEL", _choice(LogLevel), LogLevel.INFO),
        log_format=read("LOG_FORMAT", _choice(LogFormat), LogFormat.TEXT),
        without_effect=tuple(name for name in ACCEPTED_WITHOUT_EFFECT if environment.get(name)),
    )


def _word(name: str, value: str) -> str | None:
    return value.lower()


def _boolean(name: str, value: str) -> bool:
    word = value.lower()
    if word in TRUE | FALSE:
        return word in TRUE
    raise SettingsError(f"{name} is {value!r}, and accepts 1, true, on, yes, 0, false, off or no")


def _integer(low: int, high: int) -> Callable[[str, str], int]:
    def parse(name: str, value: str) -> int:
        if value.isascii() and value.isdigit() and low <= int(value) <= high:
            return int(value)
        raise SettingsError(f"{name} is {value!r}, and accepts a whole number from {low} to {high}")

    return parse


def _choice(kind: type[Choice]) -> Callable[[str, str], Choice]:
    def parse(name: str, value: str) -> Choice:
        for member in kind:
            if member.value == value.lower():
                return member
        accepted = ", ".join(member.value for member in kind)
        raise SettingsError(f"{name} is {value!r}, and accepts {accepted}")

    return parse


def _tokens(name: str, value: str) -> frozenset[str]:
    tokens = frozenset(token.strip() for token in value.split(",")) - {""}
    if tokens:
        return tokens
    raise SettingsError(f"{name} names no token: set comma-separated bearer tokens, or unset it")
