"""How many tokens a window has: the model's limit, the user's, or what memory allows, and which warnings that logs."""

from __future__ import annotations

import logging

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from manifest import WorkingMemory
from runtime.errors import SettingsError
from runtime.text.window_limit import affordable_tokens, needed_for_windows, texts_bytes, window_limit
from tests.support.bundles.text_models import an_encoder

ENCODER = an_encoder(max_tokens=8192, memory=WorkingMemory(fixed=0, per_token=80_000, per_pair=150))
PLENTY = 64 << 30


def test_the_models_limit_holds_where_there_is_memory(caplog: pytest.LogCaptureFixture):
    assert window_limit(ENCODER, None, PLENTY) == 8192
    assert not caplog.records


@pytest.mark.parametrize("wanted", [1, 100, 8192])
def test_the_users_limit_holds_up_to_the_models(wanted: int):
    assert window_limit(ENCODER, wanted, PLENTY) == wanted


def test_more_than_the_model_takes_is_refused_with_its_limit():
    with pytest.raises(SettingsError, match="MAX_TOKENS must be at most 8192, the model's limit, not 8193"):
        window_limit(ENCODER, 8193, PLENTY)


def test_memory_lowers_the_models_limit_with_a_warning(caplog: pytest.LogCaptureFixture):
    limit = window_limit(ENCODER, None, 1 << 30)
    assert ENCODER.memory.of(limit) <= 1 << 30 < ENCODER.memory.of(limit + 1)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    expected = f"windows have {limit} tokens, not the model's 8192: a text of 8192 tokens needs up to 10,722 MB, "
    expected += "and half of the available memory is 1,074 MB (MAX_TOKENS overrides this)"
    assert record.getMessage() == expected


def test_memory_does_not_lower_the_users_limit_but_is_a_warning(caplog: pytest.LogCaptureFixture):
    assert window_limit(ENCODER, 8000, 1 << 30) == 8000
    assert "MAX_TOKENS=8000 may be too high: a text of 8000 tokens needs up to" in caplog.text


@given(st.integers(0, 1 << 40))
def test_a_limit_is_at_least_one_token_and_never_over_the_models(budget: int):
    logging.disable()
    try:
        limit = window_limit(ENCODER, None, budget)
    finally:
        logging.disable(logging.NOTSET)
    assert 1 <= limit <= 8192
    assert limit == 1 or ENCODER.memory.of(limit) <= budget


@given(
    st.builds(
        WorkingMemory, fixed=st.integers(0, 10**6), per_token=st.integers(0, 10**6), per_pair=st.integers(0, 1000)
    ),
    st.integers(1, 3000),
    st.integers(0, 10**10),
)
@example(WorkingMemory(fixed=0, per_token=0, per_pair=0), 512, 0)
@example(WorkingMemory(fixed=0, per_token=100, per_pair=1), 512, 100 * 20 + 20 * 20)
@example(WorkingMemory(fixed=0, per_token=100, per_pair=1), 512, 100 * 20 + 20 * 20 - 1)
def test_the_longest_affordable_text_fits_and_one_token_more_does_not(memory: WorkingMemory, most: int, budget: int):
    tokens = affordable_tokens(memory, most, budget)
    assert 1 <= tokens <= most
    assert tokens == 1 or memory.of(tokens) <= budget
    assert tokens == most or memory.of(tokens + 1) > budget


def test_attention_of_a_large_model_in_half_of_a_small_container():
    """16 heads of float32: 64 bytes per pair of tokens."""
    assert affordable_tokens(WorkingMemory(fixed=0, per_token=0, per_pair=64), 8192, 1 << 30) == 4096


@pytest.mark.parametrize("wanted", [None, 100, 8192, 1_000_000])
def test_with_what_windows_need_none_is_shortened_and_with_less_the_longest_is(
    wanted: int | None, caplog: pytest.LogCaptureFixture
):
    small = an_encoder(max_tokens=512, memory=ENCODER.memory)
    needed = needed_for_windows([small, ENCODER], wanted)
    longest = min(wanted or 8192, 8192)
    assert window_limit(ENCODER, min(wanted, 8192) if wanted else None, texts_bytes(needed)) == longest
    assert not caplog.records
    window_limit(ENCODER, min(wanted, 8192) if wanted else None, texts_bytes(needed - 2))
    assert len(caplog.records) == 1
