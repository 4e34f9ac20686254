"""Settings: defaults, every accepted spelling, and one sentence for every refused value."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import SettingsError
from runtime.settings import LogFormat, LogLevel, Settings, read_settings
from runtime.text.long_text import LongText


def test_nothing_set_gives_the_documented_defaults():
    assert read_settings({}) == Settings(
        bundle=Path("bundle"),
        port=8080,
        threads=None,
        max_body_bytes=1 << 20,
        max_tokens=None,
        long_text=LongText.CHUNK,
        honor_pooling_strategy=False,
        kernels_isa=None,
        allowed_tokens=frozenset(),
        log_level=LogLevel.INFO,
        log_format=LogFormat.TEXT,
        without_effect=(),
    )


def test_an_empty_value_counts_as_unset():
    names = ("PORT", "THREADS", "MAX_BODY_BYTES", "AUTHENTICATION_ALLOWED_TOKENS", "LOG_LEVEL", "ENABLE_CUDA")
    names += ("MAX_TOKENS", "LONG_TEXT")
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


@pytest.mark.parametrize("value", [1, 512, 1_000_000])
def test_the_longest_window_can_be_chosen(value: int):
    assert read_settings({"MAX_TOKENS": str(value)}).max_tokens == value


def test_an_instruction_set_of_native_ops_can_be_chosen():
    assert read_settings({"KERNELS_ISA": " AVX2 "}).kernels_isa == "avx2"


def test_tokens_are_split_at_commas_and_stripped():
    settings = read_settings({"AUTHENTICATION_ALLOWED_TOKENS": " one, two ,,"})
    assert settings.allowed_tokens == {"one", "two"}


@pytest.mark.parametrize("value", ["0", "false", "False", "", "no"])
def test_cuda_switched_off_is_accepted(value: str):
    read_settings({"ENABLE_CUDA": value})


def test_settings_of_other_containers_are_accepted_and_named():
    settings = read_settings({"ENABLE_CACHE": "1", "T2V_TRANSFORMERS_DIRECT_TOKENIZE": "0", "CUDA_CORE": ""})
    assert settings.without_effect == ("ENABLE_CACHE", "T2V_TRANSFORMERS_DIRECT_TOKENIZE")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ENABLE_CUDA", "1", "ENABLE_CUDA is on, and this image is CPU-only: unset it or set it to 0"),
        ("ENABLE_CUDA", "maybe", "ENABLE_CUDA is 'maybe', and accepts 1, true, on, yes, 0, false, off or no"),
        ("HONOR_POOLING_STRATEGY", "2", "HONOR_POOLING_STRATEGY is '2', and accepts 1, true"),
        ("PORT", "0", "PORT is '0', and accepts a whole number from 1 to 65535"),
        ("PORT", "65536", "PORT is '65536', and accepts"),
        ("PORT", "80.0", "PORT is '80.0', and accepts"),
        ("PORT", "-1", "PORT is '-1', and accepts"),
        ("PORT", "٨٠", "PORT is '٨٠', and accepts"),
        ("THREADS", "0", "THREADS is '0', and accepts a whole number from 1 to 1024"),
        ("MAX_BODY_BYTES", "1MB", "MAX_BODY_BYTES is '1MB', and accepts a whole number from 1 to 1073741824"),
        ("MAX_TOKENS", "0", "MAX_TOKENS is '0', and accepts a whole number from 1 to 1000000"),
        ("MAX_TOKENS", "1000001", "MAX_TOKENS is '1000001', and accepts"),
        ("MAX_TOKENS", "-1", "MAX_TOKENS is '-1', and accepts"),
        ("LONG_TEXT", "split", "LONG_TEXT is 'split', and accepts chunk, truncate, error"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL is 'loud', and accepts debug, info, warning, error"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT is 'xml', and accepts text, json"),
        ("AUTHENTICATION_ALLOWED_TOKENS", " , ", "AUTHENTICATION_ALLOWED_TOKENS names no token"),
    ],
)
def test_a_wrong_value_names_the_variable_and_what_it_accepts(name: str, value: str, message: str):
    with pytest.raises(SettingsError) as caught:
        read_settings({name: value})
    assert message in str(caught.value)
