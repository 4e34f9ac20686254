"""Decides how many tokens one window of a text may have here: the model's limit, the user's, or what memory allows."""

from __future__ import annotations

import logging
from bisect import bisect_right

from manifest import Encoder, WorkingMemory
from runtime.errors import SettingsError

log = logging.getLogger("cpu2vec")


def window_limit(encoder: Encoder, wanted: int | None, budget_bytes: int) -> int:
    """Tokens, special ones and the prompt's included. ``wanted`` is the user's choice, which memory does not lower.

    Raises ``SettingsError`` for more than the model takes.
    """
    if wanted is not None and wanted > encoder.max_tokens:
        raise SettingsError(f"MAX_TOKENS is {wanted}, and the model takes at most {encoder.max_tokens}")
    limit = wanted or encoder.max_tokens
    needed = encoder.memory.of(limit)
    if needed <= budget_bytes:
        return limit
    said = f"a text of {limit} tokens takes up to {_megabytes(needed)}, and half of the memory here is "
    said += _megabytes(budget_bytes)
    if wanted is not None:
        log.warning("MAX_TOKENS is %d, and may be too much: %s", wanted, said)
        return wanted
    affordable = affordable_tokens(encoder.memory, limit, budget_bytes)
    log.warning("windows of %d tokens instead of the model's %d: %s (MAX_TOKENS sets it)", affordable, limit, said)
    return affordable


def affordable_tokens(memory: WorkingMemory, max_tokens: int, budget_bytes: int) -> int:
    """Return the longest run, of at most ``max_tokens``, whose working memory is within the budget; at least 1."""
    return max(1, bisect_right(range(1, max_tokens + 1), budget_bytes, key=memory.of))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
