"""The policy: who is next, by cost, priority and age; and that nobody is lost or waits for ever."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.scheduling.cost_class import Priority
from runtime.scheduling.job_queue import TURNS_UNTIL_PASSAGE, JobQueue
from runtime.scheduling.lane import TURNS_UNTIL_OLDEST

FRESH_SECONDS = 30.0
QUERY, PASSAGE = Priority.QUERY, Priority.PASSAGE


@dataclass(eq=False)
class Task:
    """What the queue knows of a job."""

    name: str = ""
    cost: int = 1
    priority: Priority = PASSAGE
    since: float = 0.0
    begun: bool = False


def queue_of(*tasks: Task) -> JobQueue[Task]:
    queue: JobQueue[Task] = JobQueue(FRESH_SECONDS)
    for task in tasks:
        queue.add(task)
    return queue


def names(queue: JobQueue[Task], now: float = 0.0, count: int = 100) -> str:
    """The names of the next jobs, as they are taken."""
    taken = [queue.take(now) for _ in range(count) if queue]
    return " ".join(task.name for task in taken if task is not None)


def test_an_empty_queue_has_no_job():
    queue = queue_of()
    assert not queue
    assert queue.take(0.0) is None
    assert queue.take_short(PASSAGE, 0.0) is None
    assert queue.short == 0


def test_jobs_of_one_cost_are_served_as_they_came():
    assert names(queue_of(*(Task(name, since=n) for n, name in enumerate("abc")))) == "a b c"


def test_the_fewest_steps_come_first():
    assert names(queue_of(Task("c", 3), Task("a", 1), Task("d", 9), Task("b", 2)), count=4) == "a b c d"


def test_a_job_that_was_begun_comes_before_those_of_its_cost_that_were_not():
    queue = queue_of(Task("a", 2), Task("b", 2))
    begun = queue.take(0.0)
    assert begun is not None
    assert begun.begun
    begun.cost = 2
    queue.add(begun)
    assert names(queue) == "a b"


def test_a_begun_job_that_goes_first_comes_before_other_begun_ones():
    queue = queue_of(Task("a", begun=True), Task("b", begun=True))
    queue.add(Task("c", begun=True), first=True)
    assert names(queue) == "c a b"


def test_jobs_that_have_waited_long_come_after_fresh_ones_the_newest_first():
    queue = queue_of(*(Task(name, since=since) for name, since in (("a", 0), ("b", 1), ("c", 2), ("d", 12), ("e", 13))))
    assert names(queue, now=12 + FRESH_SECONDS - 1) == "d e c b a"


def test_a_job_is_fresh_until_its_time_is_over():
    assert names(queue_of(Task("a", since=0), Task("b", since=1)), now=FRESH_SECONDS - 0.1) == "a b"
    assert names(queue_of(Task("a", since=0), Task("b", since=1)), now=FRESH_SECONDS) == "b a"


def test_a_job_that_was_begun_is_never_stale():
    assert names(queue_of(Task("a", since=99), Task("b", begun=True)), now=100.0) == "b a"


def test_of_five_turns_one_goes_to_the_oldest():
    shorts = [Task("s", since=1) for _ in range(10)]
    assert names(queue_of(Task("L", 9), *shorts, Task("M", 5, since=0.5)), count=11) == "s s s s L s s s s M s"


def test_queries_come_before_passages_which_get_a_turn_of_five():
    queries, passages = [Task("q", priority=QUERY) for _ in range(10)], [Task("p") for _ in range(3)]
    assert names(queue_of(*passages, *queries)) == "q q q q p q q q q p q q p"


@pytest.mark.parametrize(
    ("waiting", "may_continue"),
    [
        ([], True),
        ([Task(cost=4)], True),
        ([Task(cost=7), Task(cost=5)], True),
        ([Task(cost=3)], False),
        ([Task(cost=10)], True),
        ([Task(cost=11)], False),
        ([Task(cost=6), Task(cost=1)], False),
        ([Task(cost=6, priority=QUERY)], False),
    ],
)
def test_a_job_continues_in_its_turn_where_those_that_wait_are_similar(waiting: list[Task], may_continue: bool):
    """Of 6 steps it has done 2: one with less than 4 is next, and one with more than 10 has turns of its own."""
    assert queue_of(*waiting).may_continue(Task(cost=6), 2) == may_continue


def test_a_query_continues_in_its_turn_where_no_passage_waits():
    query = Task(cost=3, priority=QUERY)
    assert queue_of(Task(cost=3, priority=QUERY)).may_continue(query, 1)
    assert not queue_of(Task(cost=3)).may_continue(query, 1)


def test_a_long_query_comes_before_a_short_passage():
    assert names(queue_of(Task("p"), Task("q", 50, QUERY))) == "q p"


@given(st.integers(1, 30))
def test_a_stream_of_short_jobs_does_not_starve_a_long_one(steps: int):
    queue, long, turns = queue_of(Task("long", steps + 1)), 0, 0
    while long < steps:
        queue.add(Task(since=1.0))
        task = queue.take(1.0)
        assert task is not None
        turns += 1
        if task.name:
            long += 1
            task.cost -= 1
            queue.add(task)
    assert turns <= steps * TURNS_UNTIL_OLDEST


@given(st.lists(st.sampled_from([1, 1, 1, 2, 7]), min_size=20, max_size=60))
def test_a_stream_of_queries_leaves_every_fifth_turn_to_passages(costs: list[int]):
    queue = queue_of(*(Task("p", cost) for cost in costs))
    for _ in range(100):
        queue.add(Task("q", priority=QUERY))
    taken = names(queue, count=len(costs)).split()
    assert [n for n, name in enumerate(taken, 1) if name == "p"] == list(
        range(TURNS_UNTIL_PASSAGE, len(taken) + 1, TURNS_UNTIL_PASSAGE)
    )


def test_what_goes_along_is_short_and_no_turn():
    queue = queue_of(Task("L", 4), Task("a"), Task("b"), Task("q", priority=QUERY))
    assert queue.short == 3
    along = [queue.take_short(PASSAGE, 0.0) for _ in range(4)]
    assert [task and task.name for task in along] == ["a", "b", "q", None]
    assert all(task is None or task.begun for task in along)
    assert names(queue) == "L"


def test_queries_take_queries_along_first():
    queue = queue_of(Task("a"), Task("q", priority=QUERY), Task("r", priority=QUERY))
    assert [(queue.take_short(QUERY, 0.0) or Task()).name for _ in range(3)] == ["q", "r", "a"]


def test_a_query_that_joins_a_passage_makes_it_a_query():
    passage = Task("p")
    queue = queue_of(Task("a"), passage, Task("q", priority=QUERY))
    queue.join(passage, QUERY, 1.0)
    assert names(queue) == "q p a"
    assert passage.since == 0.0


def test_a_passage_that_joins_changes_nothing_while_the_job_is_fresh():
    tasks = [Task("a"), Task("b", priority=QUERY), Task("c")]
    queue = queue_of(*tasks)
    for task in tasks:
        queue.join(task, PASSAGE, FRESH_SECONDS - 1)
    assert names(queue) == "b a c"


def test_a_stale_job_becomes_fresh_when_somebody_joins_it():
    old, older = Task("b", since=2.0), Task("a", since=1.0)
    queue = queue_of(older, old, Task("c", since=50.0))
    assert queue.take(50.0) is not None
    queue.join(older, PASSAGE, 50.0)
    assert older.since == 50.0
    assert names(queue, now=51.0) == "a b"


def test_joining_a_job_that_a_thread_has_counts_when_it_comes_back():
    running = Task("p", 2, begun=True)
    queue = queue_of(Task("a"))
    queue.join(running, QUERY, 0.0)
    assert names(queue_of(), count=1) == ""
    queue.add(running)
    assert names(queue) == "p a"


@pytest.mark.parametrize("now", [0.0, 100.0])
@pytest.mark.parametrize("priority", Priority)
def test_a_job_is_discarded_wherever_it_waits(now: float, priority: Priority):
    tasks = [Task("a", priority=priority), Task("b", 5, priority), Task("c", 5, priority, begun=True), Task("d")]
    for gone in tasks:
        queue = queue_of(*tasks, Task("z", 3, since=now))
        queue.take(now)
        if queue.discard(gone):
            assert not queue.discard(gone)
        assert gone.name not in names(queue, now)


operations = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "take", "short", "discard", "join", "back", "wait"]),
        st.integers(0, 50),
        st.sampled_from(Priority),
        st.sampled_from([1, 1, 2, 3, 7]),
    ),
    max_size=80,
)


@given(operations)
def test_no_job_is_lost_or_given_out_twice_whatever_happens(operations: list[tuple[str, int, Priority, int]]):
    queue: JobQueue[Task] = JobQueue(FRESH_SECONDS)
    waiting: list[Task] = []
    running: list[Task] = []
    now = 0.0
    for what, number, priority, cost in operations:
        if what == "add":
            waiting.append(Task(str(number), cost, priority, now))
            queue.add(waiting[-1])
        elif what in ("take", "short"):
            task = queue.take(now) if what == "take" else queue.take_short(priority, now)
            assert (task is not None) == any(what == "take" or task.cost == 1 for task in waiting)
            if task is not None:
                waiting.remove(task)
                running.append(task)
        elif what == "discard" and waiting:
            assert queue.discard(waiting.pop(number % len(waiting)))
        elif what == "join" and (everybody := waiting + running):
            queue.join(everybody[number % len(everybody)], priority, now)
        elif what == "back" and running:
            task = running.pop(number % len(running))
            task.cost = cost
            waiting.append(task)
            queue.add(task, first=number % 2 == 0)
        elif what == "wait":
            now += number
        assert queue.short == sum(task.cost == 1 for task in waiting)
        assert bool(queue) == bool(waiting)
    left: Counter[int] = Counter()
    while (task := queue.take(now)) is not None:
        left[id(task)] += 1
    assert left == Counter(map(id, waiting))


def test_a_short_job_is_one_of_the_fewest_steps_up_to_a_number():
    queue = queue_of(Task("c", 3), Task("q", 3, QUERY), Task("b", 2))
    assert queue.take_short(PASSAGE, 0.0, 1) is None
    taken = [queue.take_short(PASSAGE, 0.0, 3) for _ in range(4)]
    assert [task.name if task is not None else None for task in taken] == ["b", "c", "q", None]
    assert queue.steps == 0
