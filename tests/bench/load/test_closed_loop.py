"""Weaviate's pattern of connections: which are kept, what is sent again, what is lost."""

from __future__ import annotations

import itertools
import json
import resource
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from bench.errors import LoadFailed
from bench.load.closed_loop import RESEND_PAUSES, ClosedLoop
from bench.load.exchange import SOURCES, Dialer, IdleConnections, Loss
from bench.load.texts import SHORT, endless_texts
from bench.load.vectors import Vectors, vector_request
from bench.load.wire import Request
from tests.support.paths import ROOT
from tests.support.server.server_process import wait_until
from tests.support.server.stub_container import Handler, Reply, send, serving
from tests.support.server.stub_server import DIM, embedding, stub_vector

ANSWER = embedding()


def reset(handler: BaseHTTPRequestHandler) -> None:
    """End the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def requests(count: int, words: int = 0) -> Iterator[Request]:
    texts = endless_texts(SHORT, "test") if not words else itertools.repeat("word " * words)
    return (vector_request(text, 0) for text in itertools.islice(texts, count))


def load(reply: Reply, count: int, in_flight: int = 1, give_up_seconds: float = 600, words: int = 0) -> ClosedLoop:
    """Send ``count`` requests to a server that replies so."""
    with serving(reply) as (address, seen):
        port = int(address.rpartition(":")[2])
        loop = ClosedLoop(port, in_flight, requests(count, words), Vectors(DIM), give_up_seconds)
        loop.run(lambda: True)
    assert loop.tally.sent == loop.tally.answers + loop.tally.lost.total() == count
    assert loop.dials == seen.connections
    assert Counter(reason for _, reason in loop.tally.lost_at) == loop.tally.lost
    return loop


class TestIdleConnections:
    def test_two_are_kept_and_the_last_is_taken_first(self):
        sockets = [socket.socket() for _ in range(3)]
        idle = IdleConnections()
        assert [idle.put(each) for each in sockets] == [True, True, False]
        assert [idle.take() for _ in range(3)] == [sockets[1], sockets[0], None]
        for each in sockets:
            each.close()

    def test_one_that_the_server_ended_is_closed(self):
        ended = socket.socket()
        idle = IdleConnections()
        idle.put(ended)
        idle.drop(ended.fileno() + 1)
        assert ended.fileno() >= 0
        idle.drop(ended.fileno())
        assert ended.fileno() == -1
        assert idle.take() is None


class TestConnections:
    @pytest.mark.parametrize("in_flight", [1, 2])
    def test_two_callers_keep_theirs(self, in_flight: int):
        assert load(ANSWER, 50, in_flight).dials == in_flight

    def test_what_is_answered_together_leaves_two_and_the_rest_is_dialed_anew(self):
        """The server answers all eight at once, and has sent everything before the client looks."""
        answered = threading.Event()
        together = threading.Barrier(8, action=answered.set)

        def reply(handler: Handler, number: int) -> None:
            together.wait()
            ANSWER(handler, number)

        class Looking(ClosedLoop):
            def _turn(self) -> None:
                if all(call.is_sent for call in self._open):
                    answered.wait(600)
                    answered.clear()
                    wait_until(lambda: all(peek(call.connection) for call in self._open), "not all are answered")
                super()._turn()

        def peek(connection: socket.socket | None) -> bytes:
            assert connection is not None
            try:
                return connection.recv(1 << 16, socket.MSG_PEEK)[-1:].strip(b"\n")
            except BlockingIOError:
                return b""

        with serving(reply) as (address, seen):
            loop = Looking(int(address.rpartition(":")[2]), 8, requests(24), Vectors(DIM))
            loop.run(lambda: True)
        assert (loop.tally.answers, loop.dials, seen.connections) == (24, 8 + 6 + 6, 20)

    def test_one_that_the_server_wants_to_close_is_not_used_again(self):
        def reply(handler: Handler, number: int) -> None:
            text = json.loads(handler.body)["text"]
            body = json.dumps({"text": text, "vector": stub_vector(text), "dim": DIM}, separators=(",", ":")).encode()
            send(handler, 200, body, Connection="close")

        loop = load(reply, 20)
        assert (loop.tally.answers, loop.dials, loop.tally.resends) == (20, 20, 0)

    def test_they_come_from_several_addresses(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            dialer = Dialer(server.getsockname()[1])
            sockets = [dialer.dial() for _ in range(2 * len(SOURCES))]
            seen = [server.accept() for _ in sockets]
        assert sorted(address for _, (address, _) in seen) == sorted(2 * SOURCES)
        for each in [*sockets, *(accepted for accepted, _ in seen)]:
            each.close()

    def test_a_large_body_is_sent_in_parts(self):
        loop = load(ANSWER, 4, in_flight=2, words=1_000_000)
        assert loop.tally.answers == 4


class TestResends:
    def test_a_kept_connection_that_breaks_is_made_good(self):
        """The request after the first is not answered; it comes again on another connection."""

        def reply(handler: Handler, number: int) -> None:
            reset(handler) if number == 1 else ANSWER(handler, number)

        loop = load(reply, 5)
        assert (loop.tally.answers, loop.tally.resends, loop.dials) == (5, 1, 2)
        assert loop.tally.latencies[1] > RESEND_PAUSES[0]

    def test_a_fresh_connection_that_breaks_is_a_loss(self):
        loop = load(lambda handler, number: reset(handler), 5)
        assert loop.tally.lost == {Loss.CLOSED: 5}
        assert (loop.tally.resends, loop.dials) == (0, 5)

    def test_the_connection_that_it_is_sent_on_again_is_fresh_where_none_is_idle(self):
        """It breaks as well, and is a loss then."""

        def reply(handler: Handler, number: int) -> None:
            ANSWER(handler, number) if number == 0 else reset(handler)

        loop = load(reply, 2)
        assert loop.tally.lost == {Loss.CLOSED: 1}
        assert (loop.tally.answers, loop.tally.resends, loop.dials) == (1, 1, 2)

    def test_an_answer_that_has_begun_is_not_asked_for_again(self):
        def reply(handler: Handler, number: int) -> None:
            if number == 1:
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
                reset(handler)
            else:
                ANSWER(handler, number)

        loop = load(reply, 3)
        assert loop.tally.lost == {Loss.CLOSED: 1}
        assert (loop.tally.answers, loop.tally.resends) == (2, 0)

    def test_no_status_is_repeated(self):
        loop = load(lambda handler, number: send(handler, 503, b'{"error":"busy"}'), 20, in_flight=4)
        assert loop.tally.lost == {"status 503": 20}
        assert loop.tally.resends == 0


class TestLosses:
    def test_a_caller_gives_up_and_closes_its_connection(self):
        closed: list[bytes] = []
        over = threading.Event()

        def reply(handler: Handler, number: int) -> None:
            closed.append(handler.connection.recv(1))
            over.set()

        with serving(reply) as (address, _):
            loop = ClosedLoop(int(address.rpartition(":")[2]), 1, requests(1), Vectors(DIM), give_up_seconds=0.2)
            loop.run(lambda: True)
            assert over.wait(600)
        assert loop.tally.lost == {Loss.TIMEOUT: 1}
        assert closed == [b""]

    def test_a_wrong_answer_is_counted_and_described(self):
        loop = load(embedding("size"), 12)
        assert loop.tally.lost == {Loss.WRONG: 3}
        assert f"no vector of {DIM} components" in loop.tally.first_wrong

    def test_more_than_the_answer_is_wrong(self):
        def reply(handler: Handler, number: int) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}{}")

        loop = load(reply, 1)
        assert loop.tally.lost == {Loss.WRONG: 1}
        assert loop.tally.first_wrong == "the server sent more than the answer"

    def test_the_load_goes_on_after_refusals(self):
        """Nothing listens until some are lost."""
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            port = reserved.getsockname()[1]
            loop = ClosedLoop(port, 4, requests(10**9), Vectors(DIM))
            thread = threading.Thread(target=loop.run, args=(lambda: loop.tally.answers < 20,))
            thread.start()
            wait_until(lambda: loop.tally.lost[Loss.REFUSED] >= 20, "nothing is refused")
        with serving(ANSWER, port):
            thread.join(600)
        assert not thread.is_alive()
        assert loop.tally.answers >= 20
        assert loop.tally.lost.keys() == {Loss.REFUSED}


class TestLimits:
    PROGRAM = """
import resource
from bench.load.closed_loop import allow_descriptors

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
allow_descriptors({count})
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""

    def run(self, count: int) -> subprocess.CompletedProcess[str]:
        program = self.PROGRAM.format(count=count)
        return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)

    def test_the_number_of_open_files_is_raised_as_far_as_allowed(self):
        assert self.run(60).stdout == "(64, 128)\n"
        assert self.run(100).stdout == "(128, 128)\n"

    def test_a_load_that_needs_more_is_refused(self):
        assert self.run(129).stderr.endswith("the load needs 129 open files, and `ulimit -Hn` allows 128\n")

    def test_a_machine_without_descriptors_ends_the_load(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.create_server(("127.0.0.1", 0)) as server:
            dialer = Dialer(server.getsockname()[1])
            resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
            try:
                with pytest.raises(LoadFailed, match="cannot open more connections"):
                    dialer.dial()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
