"""Mailboxes between processes that one master has forked."""

from __future__ import annotations

import os
import socket

import pytest

from runtime.siblings.mailboxes import Mailboxes


def put_one(mailboxes: Mailboxes, worker: int) -> socket.socket:
    """Returns the end of the connection that is kept."""
    here, there = socket.socketpair()
    with there:
        mailboxes.put(worker, there)
    return here


def test_a_connection_reaches_the_worker_in_another_process():
    mailboxes = Mailboxes(2)
    pid = os.fork()
    if pid == 0:
        put_one(mailboxes, 1).sendall(b"from a child")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert mailboxes.take(0) is None
    with mailboxes.take(1) as connection:
        assert connection.recv(100) == b"from a child"
    assert mailboxes.take(1) is None


def test_connections_are_taken_in_the_order_in_which_they_came():
    mailboxes = Mailboxes(2)
    for number in range(3):
        with put_one(mailboxes, 0) as connection:
            connection.sendall(b"%d" % number)
    for number in range(3):
        with mailboxes.take(0) as connection:
            assert connection.recv(100) == b"%d" % number


def test_what_a_dead_worker_has_not_taken_is_closed():
    mailboxes = Mailboxes(2)
    with put_one(mailboxes, 1) as connection:
        mailboxes.clear(1)
        assert connection.recv(100) == b""
    assert mailboxes.take(1) is None


def test_a_full_mailbox_refuses():
    mailboxes = Mailboxes(2)
    here, there = socket.socketpair()

    def put_many() -> None:
        for _ in range(100_000):
            mailboxes.put(1, there)

    with here, there, pytest.raises(BlockingIOError):
        put_many()
    mailboxes.clear(1)


def test_a_worker_that_is_alone_has_none():
    Mailboxes(1).clear(0)
