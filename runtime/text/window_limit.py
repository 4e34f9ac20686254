"""How many tokens a window may have here: the model's limit, the user's, or what memory allows."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterable

from manifest import Encoder, WorkingMemory
from runtime.errors import SettingsError

log = logging.getLogger("cpu2vec")


def texts_bytes(worker_bytes: int) -> int:
    """The half of a worker's memory that texts in work share; weights and everything else have the other."""
    return worker_bytes // 2


def needed_for_windows(encoders: Iterable[Encoder], wanted: int | None) -> int:
    """The memory of a worker below which windows would be shorter. ``wanted`` is the user's choice of their tokens."""
    return 2 * max(encoder.memory.of(min(wanted or encoder.max_tokens, encoder.max_tokens)) for encoder in encoders)


def window_limit(encoder: Encoder, wanted: int | None, budget_bytes: int) -> int:
    """Return the limit in tokens, including special tokens and the prompt.

    ``wanted`` is the user's choice (``MAX_TOKENS``), which is not lowered for lack of memory. Raises ``SettingsError``
    if it exceeds the model's limit.
    """
    if wanted is not None and wanted > encoder.max_tokens:
        raise SettingsError(f"MAX_TOKENS must be at most {encoder.max_tokens}, the model's limit, not {wanted}")
    limit = wanted or encoder.max_tokens
    needed = encoder.memory.of(limit)
    if needed <= budget_bytes:
        return limit
    reason = f"a text of {limit} tokens needs up to {_megabytes(needed)}, and half of the available memory is "
    reason += _megabytes(budget_bytes)
    if wanted is not None:
        log.warning("MAX_TOKENS=%d may be too high: %s", wanted, reason)
        return wanted
    affordable = affordable_tokens(encoder.memory, limit, budget_bytes)
    log.warning("windows have %d tokens, not the model's %d: %s (MAX_TOKENS overrides this)", affordable, limit, reason)
    return affordable


def affordable_tokens(memory: WorkingMemory, max_tokens: int, budget_bytes: int) -> int:
    """Return the longest run, of at most ``max_tokens``, whose working memory is within the budget; at least 1."""
    return max(1, bisect_right(range(1, max_tokens + 1), budget_bytes, key=memory.of))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
