"""Holds the server's state: starting, ready, draining."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Readiness:
    """Moves forward only: once draining, it stays so, whatever finishes later."""

    def __init__(self) -> None:
        self._state = State.STARTING

    @property
    def state(self) -> State:
        return self._state

    @property
    def is_ready(self) -> bool:
        return self._state is State.READY

    def started(self) -> None:
        """The golden texts came out right."""
        if self._state is State.STARTING:
            self._state = State.READY

    def drain(self) -> None:
        """No new work from now on."""
        self._state = State.DRAINING
