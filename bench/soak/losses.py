"""Counts what was lost, and apart from it what a server cut because ``DRAIN_SECONDS`` were over. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.load.exchange import Loss

SLACK_SECONDS = 1.0
"""Between a server's own clock and what its callers see."""


@dataclass(frozen=True)
class LostRequest:
    """A request whose answer was waited for and did not come, or was not what it should have been."""

    at: float
    """When that was seen."""
    caller: str
    reason: str
    """A ``Loss``, or such as ``status 503``."""


@dataclass(frozen=True)
class Drain:
    """The end of one server."""

    asked_at: float
    ended_at: float
    cut: int
    """How many requests its log says were cut off."""


@dataclass(frozen=True)
class Losses:
    lost: dict[str, int]
    """By caller and reason. Neither of the others is among them."""
    cut: int
    """Closed by a server whose time to drain was over, and which said so."""
    wrong: int
    """Answered, and not with what is right."""


def sort_losses(losses: Iterable[LostRequest], drains: Sequence[Drain], drain_seconds: float) -> Losses:
    """A closed connection counts as cut at the end of a whole drain, and no more often than that server's log says."""
    allowed = [drain.cut for drain in drains]
    lost: Counter[str] = Counter()
    cut = wrong = 0
    for loss in losses:
        index = _cut_by(loss, drains, allowed, drain_seconds)
        if loss.reason == Loss.WRONG:
            wrong += 1
        elif index is not None:
            allowed[index] -= 1
            cut += 1
        else:
            lost[f"{loss.caller}: {loss.reason}"] += 1
    return Losses(dict(lost), cut, wrong)


def _cut_by(loss: LostRequest, drains: Sequence[Drain], allowed: Sequence[int], drain_seconds: float) -> int | None:
    """The index of the server that may have cut it."""
    if loss.reason != Loss.CLOSED:
        return None
    for index, drain in enumerate(drains):
        earliest, latest = drain.asked_at + drain_seconds - SLACK_SECONDS, drain.ended_at + SLACK_SECONDS
        if allowed[index] and earliest <= loss.at <= latest:
            return index
    return None
