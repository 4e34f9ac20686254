"""Settings: defaults, every accepted spelling, and one sentence for every refused value."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import pytest

from runtime import settings
from runtime.errors import SettingsError
from runtime.settings import VARIABLES, LogFormat, LogLevel, Settings, read_log_format, read_settings
from runtime.text.long_text import LongText


def test_nothing_set_gives_the_documented_defaults():
    assert read_settings({}) == Settings(
        bundle=Path("bundle"),
        port=8080,
        threads=None,
        workers=None,
        request_seconds=60,
        enable_cache=False,
        max_body_bytes=None,
        max_texts=2048,
        model_aliases=frozenset(),
        max_image_pixels=None,
        max_tokens=None,
        long_text=None,
        honor_pooling_strategy=False,
        query_passage_prefixes=False,
        kernels_isa=None,
        allowed_tokens=frozenset(),
        drain_seconds=8,
        linger_seconds=1,
        connection_seconds=60,
        page=True,
        log_level=LogLevel.INFO,
        log_format=LogFormat.TEXT,
        without_effect=(),
    )


def test_an_empty_value_counts_as_unset():
    names = ("PORT", "THREADS", "MAX_BODY_BYTES", "LOG_LEVEL", "LOG_FORMAT", "ENABLE_CUDA", "MAX_TOKENS", "LONG_TEXT")
    names += ("DRAIN_SECONDS", "LINGER_SECONDS", "CONNECTION_SECONDS")
    names += ("REQUEST_TIMEOUT", "ENABLE_CACHE", "WORKERS")
    assert read_settings(dict.fromkeys(names, "")) == read_settings({})


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("No", False)]
)
def test_booleans_have_their_usual_spellings(value: str, expected: bool):
    assert read_settings({"HONOR_POOLING_STRATEGY": value}).honor_pooling_strategy is expected


@pytest.mark.parametrize(
    ("value", "expected"), [("chunk", LongText.CHUNK), ("Truncate", LongText.TRUNCATE), ("ERROR", LongText.ERROR)]
)
def test_what_is_done_with_long_texts_can_be_chosen(value: str, expected: LongText):
    assert read_settings({"LONG_TEXT": value}).long_text is expected


@pytest.mark.parametrize(("value", "expected"), [("1", 1), ("60", 60), ("86400", 86_400), ("0", None)])
def test_how_long_a_request_may_wait_can_be_chosen_or_left_open(value: str, expected: float | None):
    assert read_settings({"REQUEST_TIMEOUT": value}).request_seconds == expected


@pytest.mark.parametrize("value", [1, 2, 256])
def test_the_number_of_workers_can_be_chosen(value: int):
    assert read_settings({"WORKERS": str(value)}).workers == value


def test_recent_vectors_can_be_kept():
    assert read_settings({"ENABLE_CACHE": "1"}).enable_cache
    assert read_settings({"ENABLE_CACHE": "1"}).without_effect == ()


@pytest.mark.parametrize("value", [1, 512, 1_000_000])
def test_the_longest_window_can_be_chosen(value: int):
    assert read_settings({"MAX_TOKENS": str(value)}).max_tokens == value


def test_an_instruction_set_of_native_ops_can_be_chosen():
    assert read_settings({"KERNELS_ISA": " AVX2 "}).kernels_isa == "avx2"


def test_tokens_are_split_at_commas_and_stripped():
    settings = read_settings({"AUTHENTICATION_ALLOWED_TOKENS": " one, two ,,"})
    assert settings.allowed_tokens == {"one", "two"}


@pytest.mark.parametrize("value", ["", " ", "\t", ",", " , ,"])
def test_tokens_that_are_set_but_blank_are_refused(value: str):
    with pytest.raises(SettingsError, match="AUTHENTICATION_ALLOWED_TOKENS has no token: set comma-separated"):
        read_settings({"AUTHENTICATION_ALLOWED_TOKENS": value})


def test_tokens_of_any_script_are_read_from_the_bytes_of_the_environment():
    value = "sésame,パス,🔑"
    assert read_settings({"AUTHENTICATION_ALLOWED_TOKENS": value}).allowed_tokens == {"sésame", "パス", "🔑"}


def test_tokens_that_are_not_utf_8_are_refused():
    with pytest.raises(SettingsError, match="AUTHENTICATION_ALLOWED_TOKENS must be in UTF-8"):
        read_settings({"AUTHENTICATION_ALLOWED_TOKENS": os.fsdecode(b"one,\xff")})


def test_the_log_format_can_be_read_by_itself():
    assert read_log_format({"PORT": "wrong", "LOG_FORMAT": " JSON "}) is LogFormat.JSON
    assert read_log_format({}) is LogFormat.TEXT


@pytest.mark.parametrize("value", ["0", "false", "False", "", "no"])
def test_cuda_switched_off_is_accepted(value: str):
    read_settings({"ENABLE_CUDA": value})


def test_switches_of_text_models_are_known():
    switches = ("ENABLE_CACHE", "HONOR_POOLING_STRATEGY", "USE_QUERY_PASSAGE_PREFIXES")
    assert read_settings(dict.fromkeys(switches, "1")).of_text_models == switches
    assert read_settings(dict.fromkeys(switches, "0")).of_text_models == ()


def test_settings_of_other_containers_are_accepted_and_named():
    environment = {"CUDA_MEMORY_FRACTION": "1", "T2V_TRANSFORMERS_DIRECT_TOKENIZE": "0", "CUDA_CORE": ""}
    assert read_settings(environment).without_effect == ("CUDA_MEMORY_FRACTION", "T2V_TRANSFORMERS_DIRECT_TOKENIZE")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ENABLE_CUDA", "1", "ENABLE_CUDA is on, but this server is CPU-only: unset it or set it to 0"),
        ("ENABLE_CUDA", "maybe", "ENABLE_CUDA must be 1, true, on, yes, 0, false, off or no, not 'maybe'"),
        ("HONOR_POOLING_STRATEGY", "2", "HONOR_POOLING_STRATEGY must be 1, true"),
        ("PORT", "0", "PORT must be a whole number from 1 to 65535, not '0'"),
        ("PORT", "65536", "PORT must be"),
        ("PORT", "80.0", "PORT must be"),
        ("PORT", "-1", "PORT must be"),
        ("PORT", "٨٠", "PORT must be"),
        ("THREADS", "0", "THREADS must be a whole number from 1 to 1024, not '0'"),
        ("WORKERS", "0", "WORKERS must be a whole number from 1 to 256, not '0'"),
        ("WORKERS", "257", "WORKERS must be"),
        ("WORKERS", "-1", "WORKERS must be"),
        ("WORKERS", "auto", "WORKERS must be"),
        ("WORKERS", "2.0", "WORKERS must be"),
        ("REQUEST_TIMEOUT", "1.5", "REQUEST_TIMEOUT must be a whole number from 0 to 86400, not '1.5'"),
        ("REQUEST_TIMEOUT", "60s", "REQUEST_TIMEOUT must be"),
        ("REQUEST_TIMEOUT", "86401", "REQUEST_TIMEOUT must be"),
        ("ENABLE_CACHE", "32MB", "ENABLE_CACHE must be 1, true"),
        ("MAX_BODY_BYTES", "1MB", "MAX_BODY_BYTES must be a whole number from 1 to 1073741824, not '1MB'"),
        ("MAX_IMAGE_PIXELS", "0", "MAX_IMAGE_PIXELS must be a whole number from 1 to 89478485, not '0'"),
        ("MAX_IMAGE_PIXELS", "89478486", "MAX_IMAGE_PIXELS must be"),
        ("MAX_TOKENS", "0", "MAX_TOKENS must be a whole number from 1 to 1000000, not '0'"),
        ("MAX_TOKENS", "1000001", "MAX_TOKENS must be"),
        ("MAX_TOKENS", "-1", "MAX_TOKENS must be"),
        ("LONG_TEXT", "split", "LONG_TEXT must be chunk, truncate or error, not 'split'"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be debug, info, warning or error, not 'loud'"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT must be text or json, not 'xml'"),
        ("DRAIN_SECONDS", "3601", "DRAIN_SECONDS must be a whole number from 0 to 3600, not '3601'"),
        ("DRAIN_SECONDS", "0.5", "DRAIN_SECONDS must be"),
        ("LINGER_SECONDS", "-1", "LINGER_SECONDS must be a whole number from 0 to 3600, not '-1'"),
    ],
)
def test_a_wrong_value_names_the_variable_and_what_it_accepts(name: str, value: str, message: str):
    with pytest.raises(SettingsError) as caught:
        read_settings({name: value})
    assert message in str(caught.value)


def test_the_usage_text_has_every_setting():
    read = set(re.findall(r'(?:read|environment\.get)\("(\w+)"', Path(settings.__file__).read_text()))
    assert set(VARIABLES) == read


def test_no_age_of_connections_is_an_infinite_one():
    assert read_settings({"CONNECTION_SECONDS": "0"}).connection_seconds == math.inf
