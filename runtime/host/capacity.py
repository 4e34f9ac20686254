"""What this process may use of the machine, measured once."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.host.cores import available_cores
from runtime.host.memory import available_memory


@dataclass(frozen=True)
class Capacity:
    """The cores to compute on, and the bytes of memory of this container or machine."""

    cores: int
    memory_bytes: int


def measure_capacity(cores: int | None = None) -> Capacity:
    """``cores``: the user's choice; None for those that affinity and quota allow."""
    return Capacity(cores or available_cores(), available_memory())
