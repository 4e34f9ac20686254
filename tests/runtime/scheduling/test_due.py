"""Who has waited long goes first while all can be served in time: the order, and a soak on a simulated clock."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.scheduling.cost_class import Priority
from runtime.scheduling.job_queue import JobQueue

FRESH_SECONDS = 40.0
CALLER_SECONDS = 50.0
"""Then a caller gives up, and sends its next text."""

THREADS = 2
TOKEN_SECONDS = 50e-6
WINDOW_TOKENS = 256
BATCH_TOKENS = 128
"""Short texts run together up to so many tokens."""

BYTES_PER_TOKEN = 4
LARGE_BYTES = 1_000_000
LONGEST_BYTES = 20_000


@dataclass(eq=False)
class Text:
    """A job whose windows take as long as their tokens."""

    size: int
    cost: int = 1
    since: float = 0.0
    priority: Priority = Priority.PASSAGE
    begun: bool = False
    is_over: bool = False

    def __post_init__(self) -> None:
        self.cost = max(1, math.ceil(self.size / BYTES_PER_TOKEN / WINDOW_TOKENS))

    @property
    def tokens(self) -> int:
        """Of the next window."""
        return min(WINDOW_TOKENS, 2 + self.size // BYTES_PER_TOKEN)


class ShortFirst(JobQueue[Text]):
    """Knows nothing of the time that steps take, so that none is ever due."""

    def measure(self, seconds: float) -> None:
        """Forget it."""


def log_uniform(seed: int) -> Iterator[Text]:
    """As many texts from 10 to 100 bytes as from 100 to 1,000."""
    source = random.Random(seed)
    while True:
        yield Text(round(math.exp(source.uniform(math.log(4), math.log(LONGEST_BYTES)))))


class Soak:
    """Callers who send their next text once they have an answer or give up, and one with a megabyte and patience."""

    def __init__(self, queue: JobQueue[Text], callers: int) -> None:
        self._queue, self._free = queue, THREADS
        self._events: list[tuple[float, int, list[Text], float | None]] = []
        self._order = itertools.count()
        self._texts = log_uniform(callers)
        self.answered: list[tuple[int, float]] = []
        """Bytes and seconds of each."""
        self.large = self.lost = 0
        for _ in range(callers):
            self._send(next(self._texts), 0.0)
        self._send(Text(LARGE_BYTES), 0.0)
        self._work(0.0)

    def run(self, seconds: float) -> Soak:
        """Go on until the clock shows so many seconds."""
        while self._events[0][0] <= seconds:
            now, _, texts, took = heapq.heappop(self._events)
            if took is not None:
                self._free += 1
                for text in texts:
                    self._end_step(text, now, took)
            elif not texts[0].is_over:
                self.lost += 1
                self._queue.discard(texts[0])
                texts[0].is_over = True
                self._send(next(self._texts), now)
            self._work(now)
        return self

    def seconds(self, share: float, most_bytes: int = LONGEST_BYTES) -> float:
        """Within which this share of the texts of so many bytes was answered."""
        seconds = sorted(seconds for size, seconds in self.answered if size <= most_bytes)
        return seconds[int(share * (len(seconds) - 1))]

    def _send(self, text: Text, now: float) -> None:
        text.since = now
        self._queue.add(text)
        if text.size <= LONGEST_BYTES:
            self._after(now, CALLER_SECONDS, [text], None)

    def _end_step(self, text: Text, now: float, took: float) -> None:
        if text.is_over:
            return
        if text.cost > 1:
            text.cost -= 1
            self._queue.add(text)
            self._queue.measure(took)
            return
        text.is_over = True
        if text.size > LONGEST_BYTES:
            self.large += 1
            self._send(Text(LARGE_BYTES), now)
        else:
            self.answered.append((text.size, now - text.since))
            self._send(next(self._texts), now)

    def _work(self, now: float) -> None:
        while self._free and (first := self._queue.take(now)) is not None:
            self._free -= 1
            texts, tokens = [first], first.tokens
            # As a thread does: up to its share of the short ones.
            while tokens < BATCH_TOKENS and len(texts) < (len(texts) + self._queue.short) / THREADS:
                text = self._queue.take_short(first.priority, now)
                if text is None:
                    break
                texts.append(text)
                tokens += text.tokens
            took = tokens * TOKEN_SECONDS
            self._after(now, took, texts, took)

    def _after(self, now: float, seconds: float, texts: list[Text], took: float | None) -> None:
        heapq.heappush(self._events, (now + seconds, next(self._order), texts, took))


@pytest.fixture(scope="module")
def short_first() -> Soak:
    return Soak(ShortFirst(FRESH_SECONDS, THREADS), 160).run(120.0)


@pytest.fixture(scope="module")
def due() -> Soak:
    return Soak(JobQueue(FRESH_SECONDS, THREADS), 160).run(120.0)


def test_short_first_alone_loses_long_texts_though_the_load_can_be_carried(short_first: Soak):
    assert short_first.lost > 50
    assert short_first.seconds(1.0) > FRESH_SECONDS


def test_nobody_is_lost_where_those_that_are_due_have_turns(due: Soak):
    assert due.lost == 0
    assert due.seconds(1.0) < 0.7 * CALLER_SECONDS
    assert due.large > 0


def test_short_texts_do_not_pay_for_it(short_first: Soak, due: Soak):
    """Of the work, hardly less is done; and a short text waits for a window or two more."""
    window = WINDOW_TOKENS * TOKEN_SECONDS
    assert due.seconds(0.5, 1_000) < short_first.seconds(0.5, 1_000) + window
    assert due.seconds(0.99, 1_000) < short_first.seconds(0.99, 1_000) + 5 * window
    assert sum(size for size, _ in due.answered) > 0.85 * sum(size for size, _ in short_first.answered)


@pytest.mark.parametrize("callers", [800, 1600])
def test_in_an_overload_as_many_are_answered_as_by_short_first_alone(callers: int):
    before = Soak(ShortFirst(FRESH_SECONDS, THREADS), callers).run(80.0)
    after = Soak(JobQueue(FRESH_SECONDS, THREADS), callers).run(80.0)
    assert before.lost > callers / 10
    assert len(after.answered) >= len(before.answered)


def queue_of(*texts: Text, step_seconds: float = 0.01) -> JobQueue[Text]:
    queue: JobQueue[Text] = JobQueue(FRESH_SECONDS)
    queue.measure(step_seconds)
    for text in texts:
        queue.add(text)
    return queue


def costs(queue: JobQueue[Text], now: float) -> list[int]:
    """Those of all that wait, as they are taken."""
    taken = []
    while (text := queue.take(now)) is not None:
        taken.append(text.cost)
    return taken


def text(cost: int, since: float = 0.0) -> Text:
    return Text(cost * WINDOW_TOKENS * BYTES_PER_TOKEN, since=since)


NOW = 20.0


def test_every_second_turn_goes_to_who_is_due_and_the_others_to_the_fewest_steps():
    fresh = [text(1, NOW) for _ in range(4)]
    assert costs(queue_of(*fresh, text(9, 1), text(7, 2), text(5, 3)), NOW) == [9, 1, 7, 1, 5, 1, 1]


def test_who_is_not_due_waits_for_the_turn_of_the_oldest():
    fresh = [text(1, NOW) for _ in range(6)]
    assert costs(queue_of(*fresh, text(9, NOW - 13)), NOW) == [1, 1, 1, 1, 9, 1, 1]
    assert costs(queue_of(*fresh, text(9, NOW - 14)), NOW) == [9, 1, 1, 1, 1, 1, 1]


def test_a_text_whose_own_steps_take_long_is_due_later():
    fresh = [text(1, NOW) for _ in range(4)]
    assert costs(queue_of(*fresh, text(300), text(9, 1)), NOW) == [9, 1, 1, 1, 300, 1]


def test_a_stale_text_is_never_due():
    fresh = [text(1, 60.0) for _ in range(4)]
    assert costs(queue_of(*fresh, text(9, 0.0)), 60.0) == [1, 1, 1, 1, 9]


def test_a_text_that_was_begun_is_due_however_old():
    begun = text(9)
    begun.begun = True
    assert costs(queue_of(*(text(1, 60.0) for _ in range(4)), begun), 60.0) == [9, 1, 1, 1, 1]


@pytest.mark.parametrize(("step_seconds", "first"), [(40 / 13, 9), (40 / 12.9, 1)])
def test_nobody_is_due_once_what_waits_takes_longer_than_there_is_time(step_seconds: float, first: int):
    texts = [text(1, 399.0) for _ in range(4)]
    old = text(9, 0.0)
    old.begun = True
    assert costs(queue_of(*texts, old, step_seconds=step_seconds), 400.0)[0] == first


@given(st.lists(st.tuples(st.integers(1, 20), st.floats(0, 40)), min_size=1, max_size=40), st.data())
def test_steps_are_counted_whatever_happens(texts: list[tuple[int, float]], data: st.DataObject):
    """So many steps suffice exactly as wait, by which turns are given to those that are due."""
    waiting = [text(cost, since) for cost, since in texts]
    queue = queue_of(*waiting)
    gone = data.draw(st.integers(0, len(waiting)))
    for each in waiting[:gone]:
        assert queue.discard(each)
    steps = sum(each.cost for each in waiting[gone:])
    assert queue.steps == steps
    assert sum(costs(queue, 40.0)) == steps
    assert queue.steps == 0
