"""What make serve starts beside a server: it speaks once the server is ready, and ends with the server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from build import announce
from build.announce import READY, is_ready
from tests.support.patience import PATIENCE
from tests.support.server.stub_container import Handler, Reply, send, serving

COMMAND = (sys.executable, "-I", "-S", announce.__file__)


def answering(*statuses: int) -> Reply:
    """Answers the probe with these statuses in turn, and then with the last one."""
    return lambda handler, number: send(handler, statuses[min(number, len(statuses) - 1)], b"")


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_it_speaks_at_the_first_answer_that_says_ready():
    with serving(answering(503, 503, 204)) as (address, seen):
        command = [*COMMAND, str(os.getpid()), str(port_of(address)), "try it:\n  curl"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert (result.returncode, result.stdout, result.stderr) == (0, "try it:\n  curl\n", "")
    assert seen.paths == [READY] * 3


def test_it_says_nothing_for_a_process_that_did_not_start_it():
    with serving(answering(204)) as (address, seen):
        command = [*COMMAND, str(os.getppid()), str(port_of(address)), "ready"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert seen.paths == []


def test_it_ends_with_a_server_that_never_was_ready():
    """Its standard output is closed then."""
    parent = (
        "import os, subprocess, sys\n"
        "subprocess.Popen([*sys.argv[2:], str(os.getpid()), sys.argv[1], 'ready'])\n"
        "sys.stdin.read()\n"
    )
    asked = threading.Event()

    def reply(handler: Handler, number: int) -> None:
        asked.set()
        send(handler, 503, b"")

    with serving(reply) as (address, _):
        command = [sys.executable, "-c", parent, str(port_of(address)), *COMMAND]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert asked.wait(PATIENCE)
            said, _ = process.communicate(timeout=PATIENCE)
    assert said == ""


@pytest.mark.parametrize(("status", "ready"), [(204, True), (200, False), (404, False), (503, False)])
def test_ready_is_what_the_runtime_answers(status: int, ready: bool):
    with serving(answering(status)) as (address, _):
        assert is_ready(port_of(address)) is ready


def test_a_port_on_which_nothing_or_something_else_listens_is_not_ready():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"SSH-2.0-none\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert not is_ready(port)
        thread.join()
    assert not is_ready(port)
