"""What this process may use of the machine, measured once."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runtime.host.cores import available_cores
from runtime.host.memory import available_memory

log = logging.getLogger("cpu2vec")


@dataclass(frozen=True)
class Capacity:
    """The cores to compute on, and the bytes of memory of this container or machine."""

    cores: int
    memory_bytes: int


def measure_capacity(cores: int | None = None) -> Capacity:
    """``cores``: the user's choice, lowered to those that affinity and quota allow; None for all of these."""
    available = available_cores()
    if cores is not None and cores > available:
        # More threads than cores would only take turns, and keep the event loop waiting.
        log.warning("THREADS=%d is lowered to %d, the cores that affinity and quota allow", cores, available)
    return Capacity(min(cores or available, available), available_memory())
