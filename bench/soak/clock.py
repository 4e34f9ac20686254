"""When the load began and ended, and how busy others kept the machine in the meantime."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench import process_tree
from bench.report.machine import children_cpu_seconds, others_percent


class Clock:
    """Starts when it is created. Times are by ``time.perf_counter``."""

    def __init__(self, servers_cpu_seconds: Callable[[], float]) -> None:
        """``servers_cpu_seconds``: what the processes have used that run now."""
        self._servers_cpu_seconds = servers_cpu_seconds
        self.start = self.end = time.perf_counter()
        self._machine, self._own = process_tree.machine_cpu_seconds(), self._own_cpu_seconds()

    def stop(self) -> None:
        self.end = time.perf_counter()

    @property
    def seconds(self) -> float:
        """From the start to the stop."""
        return self.end - self.start

    def others_percent(self, cores: int) -> float:
        """Percent of all cores, until now, that neither this process nor the servers used."""
        machine = process_tree.machine_cpu_seconds() - self._machine
        own = self._own_cpu_seconds() - self._own
        return others_percent(machine, own, time.perf_counter() - self.start, cores)

    def _own_cpu_seconds(self) -> float:
        return time.process_time() + children_cpu_seconds() + self._servers_cpu_seconds()
