"""What is answered in time under more load than there is capacity, on a simulated clock."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from runtime.scheduling.cost_class import Priority
from runtime.scheduling.job_queue import JobQueue

THREADS = 2
STEP_SECONDS = 0.026
"""One window of a long text on one thread."""
CALLER_SECONDS = 50.0
"""Then a caller gives up, and sends its next text."""
FRESH_SECONDS = 40.0


@dataclass(eq=False)
class Text:
    """A job of so many windows."""

    caller: int
    cost: int
    priority: Priority = Priority.PASSAGE
    since: float = 0.0
    begun: bool = False


class RoundRobin:
    """First come, first served, and a text rejoins the back of the queue after each window."""

    def __init__(self) -> None:
        self._waiting: deque[Text] = deque()

    def add(self, item: Text) -> None:
        self._waiting.append(item)

    def discard(self, item: Text) -> bool:
        if item not in self._waiting:
            return False
        self._waiting.remove(item)
        return True

    def take(self, now: float) -> Text | None:
        return self._waiting.popleft() if self._waiting else None


class Fifo(RoundRobin):
    """First come, first served, and a text that was begun is finished."""

    def add(self, item: Text) -> None:
        if item.cost < windows_of(item.caller):
            self._waiting.appendleft(item)
        else:
            super().add(item)


def windows_of(caller: int) -> int:
    return 7


class Load:
    """Callers in a closed loop: each sends its next text once it has the answer or gives up."""

    def __init__(self, queue: JobQueue | RoundRobin, callers: int, windows: Callable[[int], int] = windows_of) -> None:
        self._queue, self._windows, self._free = queue, windows, THREADS
        self._events: list[tuple[float, int, str, Text]] = []
        self._order = itertools.count()
        self._gone: set[Text] = set()
        self.answered: Counter[int] = Counter()
        """By caller."""
        self.longest = 0.0
        for caller in range(callers):
            self._send(caller, 0.0)
        self._work(0.0)

    def run(self, seconds: float) -> None:
        """Go on until the clock shows so many seconds."""
        while self._events[0][0] <= seconds:
            now, _, what, text = heapq.heappop(self._events)
            if what == "step":
                self._free += 1
                self._end_step(text, now)
            elif text not in self._gone:
                self._gone.add(text)
                self._queue.discard(text)
                self._send(text.caller, now)
            self._work(now)

    def _send(self, caller: int, now: float) -> None:
        text = Text(caller, self._windows(caller), since=now)
        self._queue.add(text)
        self._after(now, CALLER_SECONDS, "gives up", text)

    def _end_step(self, text: Text, now: float) -> None:
        if text in self._gone:
            return
        text.cost -= 1
        if text.cost:
            self._queue.add(text)
            return
        self._gone.add(text)
        self.answered[text.caller] += 1
        self.longest = max(self.longest, now - text.since)
        self._send(text.caller, now)

    def _work(self, now: float) -> None:
        while self._free and (text := self._queue.take(now)) is not None:
            self._free -= 1
            self._after(now, STEP_SECONDS, "step", text)

    def _after(self, now: float, seconds: float, what: str, text: Text) -> None:
        heapq.heappush(self._events, (now + seconds, next(self._order), what, text))


def answered(queue: JobQueue | RoundRobin, callers: int, seconds: float) -> int:
    load = Load(queue, callers)
    load.run(seconds)
    return load.answered.total()


SECONDS = 400.0
CAPACITY = SECONDS / STEP_SECONDS * THREADS / windows_of(0)
"""So many texts can be answered in that time, whatever the order."""


@pytest.mark.parametrize("callers", [8, 640, 1000, 3200])
def test_whatever_the_load_nine_tenths_of_the_capacity_are_answered_in_time(callers: int):
    assert answered(JobQueue(FRESH_SECONDS), callers, SECONDS) >= 0.9 * CAPACITY


@pytest.mark.parametrize(("queue", "callers"), [(RoundRobin, 640), (RoundRobin, 3200), (Fifo, 640), (Fifo, 3200)])
def test_first_come_first_served_would_serve_nearly_nobody_in_time(queue: type[RoundRobin], callers: int):
    assert answered(queue(), callers, SECONDS) < 0.5 * CAPACITY
    assert answered(queue(), 8, SECONDS) >= 0.9 * CAPACITY


def test_every_caller_is_answered_where_the_capacity_suffices():
    load = Load(JobQueue(FRESH_SECONDS), 400)
    load.run(SECONDS)
    assert min(load.answered[caller] for caller in range(400)) >= SECONDS / CALLER_SECONDS


@pytest.mark.parametrize("callers", [100, 640])
def test_texts_of_all_lengths_are_answered_beside_one_another(callers: int):
    """Half are of one window and half of 2 to 25: the short ones fill four turns of five at most."""
    load = Load(JobQueue(FRESH_SECONDS), callers, lambda caller: 1 if caller % 2 else 2 + caller % 24)
    load.run(SECONDS)
    counts = Counter(caller % 2 for caller, count in load.answered.items() for _ in range(count))
    assert counts[1] > counts[0] > SECONDS / STEP_SECONDS * THREADS * 0.2 / 25
