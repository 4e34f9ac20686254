"""The page of memory in which workers see how busy the others are, across processes."""

from __future__ import annotations

import os
import select
import socket

import pytest

from runtime.http.scoreboard import DEAF_SECONDS, Scoreboard, Seat
from runtime.http.turns import Stage


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


def in_a_child(act) -> None:
    """Do something in a forked process, and wait until that has ended."""
    pid = os.fork()
    if pid == 0:
        act()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def is_called(seat: Seat) -> bool:
    return bool(select.select([seat.bell], [], [], 0)[0])


def seats(board: Scoreboard, count: int) -> list[Seat]:
    found = [board.seat(number) for number in range(count)]
    for seat in found:
        seat.enter(Stage.READY)
        seat.publish(0, 0)
    return found


def with_clock(clock: Clock) -> tuple[Seat, Seat]:
    """Two seats by a clock of the test's, both ready."""
    board = Scoreboard(2)
    first, second = (Seat(number, board._numbers, board._bells, board._last_word, clock) for number in (0, 1))
    for seat in (first, second):
        seat.enter(Stage.READY)
    return first, second


def test_what_a_forked_worker_publishes_the_others_see():
    board = Scoreboard(2)
    (first, second) = seats(board, 2)
    in_a_child(lambda: board.seat(0).enter(Stage.READY))
    first.publish(1, 1)
    assert (first.whose_turn(), second.whose_turn()) == (1, 1)
    in_a_child(lambda: second.publish(2, 2))
    assert (first.whose_turn(), second.whose_turn()) == (0, 0)


def test_a_call_is_heard_in_another_process_and_silenced_by_an_answer():
    board = Scoreboard(2)
    first, second = seats(board, 2)
    in_a_child(lambda: first.call(1))
    assert is_called(second)
    second.answer()
    assert not is_called(second)
    second.answer()


def test_the_row_of_one_that_has_ended_is_cleared_and_all_others_are_called():
    board = Scoreboard(3)
    _first, second, third = seats(board, 3)
    second.publish(3, 3)
    third.publish(3, 3)
    assert second.whose_turn() == 0
    board.clear(0)
    assert second.whose_turn() == 1
    assert is_called(second)
    assert is_called(third)


def test_one_that_leaves_has_no_more_turns_whatever_still_happens_to_its_connections():
    board = Scoreboard(2)
    first, second = seats(board, 2)
    second.publish(5, 5)
    first.leave()
    first.publish(0, 1)
    assert second.whose_turn() == 1
    assert is_called(second)


def test_one_that_does_not_answer_its_bell_is_passed_over_until_it_does():
    clock = Clock()
    first, second = with_clock(clock)
    first.publish(1, 1)
    second.publish(0, 0)
    assert first.whose_turn() == 1
    first.call(1)
    clock.go_on(DEAF_SECONDS)
    first.call(1)
    assert first.whose_turn() == 1, "it may be about to come"
    clock.go_on(0.001)
    assert first.whose_turn() == 0, "calling again does not begin anew"
    assert second.whose_turn() == 1, "what others think of it does not keep it from taking its turn"
    second.answer()
    assert first.whose_turn() == 1


def test_one_that_is_called_while_it_answers_is_not_deaf_later(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    first, second = with_clock(clock)
    first.publish(1, 1)
    second.publish(0, 0)
    read = os.eventfd_read

    def read_and_be_called(bell: int) -> int:
        first.call(1)
        rings = read(bell)
        first.call(1)
        monkeypatch.undo()
        return rings

    first.call(1)
    monkeypatch.setattr(os, "eventfd_read", read_and_be_called)
    second.answer()
    while is_called(second):
        second.answer()
    clock.go_on(2 * DEAF_SECONDS)
    assert first.whose_turn() == 1


def test_readiness_is_that_of_all_and_survives_a_replacement():
    board = Scoreboard(2)
    first, second = board.seat(0), board.seat(1)
    assert not first.all_have_been_ready()
    first.enter(Stage.READY)
    assert not first.all_have_been_ready()
    second.enter(Stage.READY)
    assert first.all_have_been_ready()
    board.clear(1)
    assert first.all_have_been_ready()


def test_one_alone_has_the_last_word():
    board = Scoreboard(3)
    assert [board.seat(number).has_last_word() for number in (2, 0, 1)] == [True, False, False]


@pytest.mark.parametrize("last", [Stage.READY, Stage.STARTING])
def test_one_that_drains_stays_so_whatever_finishes_later(last: Stage):
    first, second = seats(Scoreboard(2), 2)
    first.enter(Stage.DRAINING)
    first.enter(last)
    second.publish(9, 9)
    assert first.whose_turn() == 1


def test_before_anything_is_published_a_worker_has_no_turn():
    board = Scoreboard(2)
    first, second = board.seat(0), board.seat(1)
    first.publish(7, 7)
    second.enter(Stage.READY)
    assert first.whose_turn() == 0
    second.publish(0, 0)
    assert first.whose_turn() == 1


def test_requests_of_others_are_seen_with_the_groups_of_texts_that_they_have_as_guests():
    board = Scoreboard(3)
    first, second, third = seats(board, 3)
    second.publish(3, 9)
    third.publish(1, 1, Stage.FULL)
    assert (first.requests_of(1), first.requests_of(2)) == (3, 1)
    second.count_guest(1)
    second.count_guest(1)
    second.count_guest(-1)
    assert first.requests_of(1) == 4
    assert first.whose_turn() == 0
    second.publish(0, 9)
    assert first.requests_of(1) == 1, "they are not forgotten"


def test_nobody_is_asked_who_is_not_there_or_not_ready_or_drains_or_does_not_listen():
    board = Scoreboard(2)
    first, second = board.seat(0), board.seat(1)
    assert first.requests_of(1) is None
    second.publish(0, 0)
    assert first.requests_of(1) is None, "it starts"
    second.enter(Stage.READY)
    assert first.requests_of(1) == 0
    second.enter(Stage.DRAINING)
    assert first.requests_of(1) is None
    board.clear(1)
    assert first.requests_of(1) is None
    clock = Clock()
    first, second = with_clock(clock)
    second.publish(0, 0)
    first.call(1)
    clock.go_on(DEAF_SECONDS + 1)
    assert first.requests_of(1) is None
    second.answer()
    assert first.requests_of(1) == 0


def test_what_was_put_into_the_mailbox_of_one_that_has_ended_is_closed():
    board = Scoreboard(2)
    here, there = socket.socketpair()
    with here:
        with there:
            board.seat(0).mailboxes.put(1, there)
        board.clear(1)
        assert here.recv(1) == b""


def test_a_worker_alone_always_has_its_turn():
    seat = Scoreboard(1).seat(0)
    assert seat.whose_turn() == 0
    seat.publish(1000, 1000, Stage.PAUSED)
    assert seat.whose_turn() == 0
