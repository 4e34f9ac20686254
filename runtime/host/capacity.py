"""What this container or machine has to compute with, measured once, and how the workers divide it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from runtime.host.cores import available_cores
from runtime.host.memory import available_memory

CORES_PER_WORKER = 2
"""One interpreter keeps two cores busy, four badly, and eight no better than four."""

LEAST_WORKER_BYTES = 160 << 20
"""The smallest share of memory that a worker is started for: what its process takes, and several times as much for
requests. With less, bodies of 8 MiB, the default of rerankers, would be refused."""

log = logging.getLogger("cpu2vec")


@dataclass(frozen=True)
class Capacity:
    """The cores to compute on, and the bytes of memory, of all workers together."""

    cores: int
    memory_bytes: int
    workers: int = 1

    @property
    def worker_cores(self) -> tuple[int, ...]:
        """The cores of each worker; the first ones have one more where the division leaves a remainder."""
        each, remainder = divmod(self.cores, self.workers)
        return tuple(each + (number < remainder) for number in range(self.workers))

    @property
    def worker_bytes(self) -> int:
        """The share of memory that each worker has. It is the same for all, and so are limits that follow from it."""
        return self.memory_bytes // self.workers


def measure_capacity(cores: int | None = None) -> Capacity:
    """``cores``: the user's choice, lowered to those that affinity and quota allow; None for all of these."""
    available = available_cores()
    if cores is not None and cores > available:
        # More threads than cores would only take turns, and keep the event loop waiting.
        log.warning("THREADS=%d is lowered to %d, the cores that affinity and quota allow", cores, available)
    return Capacity(min(cores or available, available), available_memory())


def divide(capacity: Capacity, wanted: int | None, needed_bytes: int) -> Capacity:
    """Decide how many workers there are.

    ``wanted``: the user's choice; None: one for every two cores. Either is lowered to the number of cores, and to as
    many as have the ``needed_bytes`` each; one worker is started in any case.
    """
    needed_bytes = max(needed_bytes, LEAST_WORKER_BYTES)
    by_memory = max(1, capacity.memory_bytes // needed_bytes)
    by_cores = max(1, capacity.cores // CORES_PER_WORKER) if wanted is None else min(wanted, capacity.cores)
    workers = min(by_cores, by_memory)
    if wanted is not None and by_cores < wanted:
        log.warning("WORKERS=%d is lowered to %d, the number of inference threads", wanted, by_cores)
    if workers < by_cores:
        log.warning(
            "there are %d worker(s), not %d: each needs %.0f MB, and the memory is %.0f MB",
            workers,
            by_cores,
            needed_bytes / 1e6,
            capacity.memory_bytes / 1e6,
        )
    return replace(capacity, workers=workers)
