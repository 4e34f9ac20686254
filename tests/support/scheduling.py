"""Jobs, batches and clocks with which tests steer a scheduler."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from runtime.scheduling.job import MayContinue, Step, Steps
from runtime.scheduling.scheduler import Batch, Scheduler
from tests.support.patience import PATIENCE

Run = Callable[[int], object]
"""Of ``CallBatch``: it is given the number of cores."""

Begin = Callable[[Any], Steps[Any]]
"""What begins a job: the steps of an item."""

NOTHING = Step(lambda cores: None, 1)
"""A step whose run does nothing."""


def ends_turn(steps: int) -> bool:
    """Lets no job continue. Of the type ``MayContinue``."""
    return False


class CallBatch:
    """Runs are functions of the number of cores. ``capacity`` runs go into one batch."""

    steps = 1

    def __init__(self, capacity: int = 1, sizes: list[int] | None = None) -> None:
        self._capacity, self._sizes = capacity, sizes
        self._runs: list[Run] = []

    @property
    def has_capacity(self) -> bool:
        return len(self._runs) < self._capacity

    def add(self, run: Run) -> bool:
        if not self.has_capacity:
            return False
        self._runs.append(run)
        return True

    def run(self, cores: int, may_continue: MayContinue) -> list[object]:
        if self._sizes is not None:
            self._sizes.append(len(self._runs))
        return [self._result(run, cores) for run in self._runs]

    @staticmethod
    def _result(run: Run, cores: int) -> object:
        try:
            return run(cores)
        except Exception as error:
            return error


def at_once(handle: Callable[[Any, int], object]) -> Begin:
    """A job of one step."""

    def begin(item: Any) -> Steps[Any]:
        return (yield Step(functools.partial(handle, item), 1))

    return begin


def counting(log: list[Any]) -> Begin:
    """Jobs (name, steps): each step is logged when it runs, and the name is the result. They state what is left."""

    def begin(item: Any) -> Steps[Any]:
        name, steps = item
        for step in range(steps):
            yield Step(lambda cores, step=step: log.append((name, step)), steps - step)
        return name

    return begin


class Gate:
    """A job that keeps its thread until the gate is opened, so that jobs submitted meanwhile wait."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Semaphore(0), threading.Event()

    def before(self, begin: Begin) -> Begin:
        """Handles the gate itself as an item, and leaves other items to ``begin``."""

        def begin_or_wait(item: Any) -> Steps[Any]:
            if item is self:
                self.entered.release()
                assert self.opened.wait(PATIENCE)
                return None
            return (yield from begin(item))

        return begin_or_wait

    async def closes(self, scheduler: Scheduler[Any], threads: int = 1) -> list[asyncio.Task[Any]]:
        """The tasks of gates that now keep as many threads."""
        tasks = [asyncio.create_task(scheduler.submit(self)) for _ in range(threads)]
        for _ in tasks:
            assert await asyncio.to_thread(self.entered.acquire, timeout=PATIENCE)
        return tasks


def running(
    begin: Begin, cores: int = 2, new_batch: Callable[[], Batch] = CallBatch, seconds: float | None = None
) -> Scheduler[Any]:
    """A scheduler whose threads have started."""
    scheduler = Scheduler[Any](begin, new_batch, cores, seconds)
    scheduler.start()
    return scheduler


async def submitted(scheduler: Scheduler[Any], items: list[Any], **how: Any) -> list[asyncio.Task[Any]]:
    """Tasks whose items have reached the scheduler, each submitted ``how``."""
    before = scheduler.in_flight
    tasks = [asyncio.create_task(scheduler.submit(item, **how)) for item in items]
    while scheduler.in_flight < before + len(items):
        await asyncio.sleep(0)
    return tasks


class SetLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def on_set_clock(main: Callable[[SetLoop], Coroutine[Any, Any, object]]) -> object:
    """What the coroutine returns, on a loop whose clock it may put forward."""
    loop = SetLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main(loop))


DEADLINE = 3600.0
"""In seconds. Tests put the clock forward instead of waiting."""
