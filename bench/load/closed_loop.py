"""Loads a server as Weaviate does: so many requests in flight, most of them on connections that are dialed anew.

A request is given up after ``ANSWER_SECONDS``, and none is repeated, whatever its status. Only where a connection that
had been idle breaks before the answer begins, the request is sent again, at most twice, as Weaviate 1.38.8 does. What
is lost is counted, and the caller goes on with its next request.
"""

from __future__ import annotations

import heapq
import itertools
import random
import resource
import select
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.errors import LoadFailed
from bench.load.exchange import Call, Dialer, IdleConnections, Loss
from bench.load.routes import Route
from bench.load.wire import ANSWER_SECONDS, OK, Request, closes, status_of

RESEND_PAUSES = (0.05, 0.25)
"""Before a request is sent again; each is prolonged by up to its own length, at random."""

TICK_SECONDS = 0.05
"""What has no event of its own is looked at this often: the end, and requests whose time is over."""

REFUSED_SECONDS = 0.01
"""A caller whose connection was refused is back with its next request after at most this time."""

SPARE_DESCRIPTORS = 64
PARSED_ANSWERS = 8
"""The first answers are checked thoroughly."""

OUTPUT = select.EPOLLIN | select.EPOLLOUT


@dataclass
class Tally:
    """What became of the requests so far."""

    sent: int = 0
    resends: int = 0
    latencies: list[float] = field(default_factory=list)
    """In seconds, in the order of the answers."""
    answered_at: list[float] = field(default_factory=list)
    """By ``time.perf_counter``, in the same order."""
    lost: Counter[str] = field(default_factory=Counter)
    """By reason: a ``Loss``, or ``status`` with its number."""
    lost_at: list[tuple[float, str]] = field(default_factory=list)
    """When, by ``time.perf_counter``, and for which reason, in the order of the losses."""
    first_wrong: str = ""
    """What was wrong with the first wrong answer."""

    @property
    def answers(self) -> int:
        return len(self.latencies)

    def lose(self, reason: str) -> None:
        self.lost[reason] += 1
        self.lost_at.append((time.perf_counter(), reason))


class ClosedLoop:
    """One load; it is run once. ``tally`` may be read from other threads in the meantime."""

    def __init__(
        self,
        port: int,
        in_flight: int,
        requests: Iterator[Request],
        route: Route,
        give_up_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """``route``: it checks the answers to the ``requests``."""
        self.tally = Tally()
        self._in_flight, self._requests, self._route = in_flight, requests, route
        self._give_up_seconds = give_up_seconds
        self._dialer, self._idle = Dialer(port), IdleConnections()
        self._open: dict[Call, None] = {}
        """All that is neither answered nor lost, oldest first."""
        self._by_descriptor: dict[int, Call] = {}
        self._paused: list[tuple[float, int, Call]] = []
        """A heap of those that will be sent again: when, in which order."""
        self._numbers = itertools.count()
        self._answered: list[tuple[Call, bytearray, float]] = []
        self._ended = False

    @property
    def dials(self) -> int:
        return self._dialer.dials

    def redirect(self, port: int) -> None:
        """Dial another server from now on. Connections that are open stay. Any thread may call this."""
        self._dialer.port = port

    def run(self, going_on: Callable[[], bool]) -> None:
        """Load the server until ``going_on`` is false or the requests are used up, and wait for what is in flight.

        ``going_on`` is asked in every turn, also while the last ones are waited for.
        Raises ``LoadFailed`` where this machine cannot open so many connections.
        """
        allow_descriptors(self._in_flight + SPARE_DESCRIPTORS)
        self._epoll = select.epoll()
        try:
            while True:
                self._ended = not going_on() or self._ended
                self._fill()
                # PERF: checked after the next requests are sent, so that the server has work during the check.
                self._check_answered()
                if self._ended and not self._open:
                    return
                self._turn()
        finally:
            self._close()

    def _fill(self) -> None:
        """Start as many as are missing. What is refused at once is replaced in the next turn."""
        for _ in range(self._in_flight - len(self._open)):
            request = None if self._ended else next(self._requests, None)
            if request is None:
                self._ended = True
                return
            call = Call(request, time.perf_counter())
            self.tally.sent += 1
            self._open[call] = None
            self._send(call)

    def _send(self, call: Call) -> None:
        connection = self._idle.take()
        try:
            if connection is not None:
                call.use(connection, pooled=True)
                self._by_descriptor[connection.fileno()] = call
                if not call.send():
                    self._epoll.modify(connection, OUTPUT)
                return
            call.use(connection := self._dialer.dial(), pooled=False)
            self._by_descriptor[connection.fileno()] = call
            # PERF: over loopback, the connection is open by now; else the event loop says when it is.
            self._epoll.register(connection, select.EPOLLIN if call.send() else OUTPUT)
        except OSError as error:
            self._broken(call, error)

    def _turn(self) -> None:
        """Wait for events, and read all that has arrived before anything new is sent.

        NOTE: no descriptor is opened while events are handled, so that none is mistaken for another.
        """
        events = self._epoll.poll(self._patience())
        self._expire()
        for descriptor, event in events:
            call = self._by_descriptor.get(descriptor)
            if call is None:
                self._idle.drop(descriptor)
            elif event & select.EPOLLOUT and not event & (select.EPOLLIN | select.EPOLLERR):
                self._send_rest(call)
            else:
                self._receive(call)
        while self._paused and self._paused[0][0] <= time.perf_counter():
            call = heapq.heappop(self._paused)[2]
            if call in self._open:
                self._send(call)

    def _patience(self) -> float:
        """For how many seconds to wait for events."""
        seconds = TICK_SECONDS
        if len(self._open) < self._in_flight and not self._ended:
            seconds = REFUSED_SECONDS
        if self._paused:
            seconds = min(seconds, max(0.0, self._paused[0][0] - time.perf_counter()))
        return seconds

    def _expire(self) -> None:
        earliest = time.perf_counter() - self._give_up_seconds
        while self._open and (oldest := next(iter(self._open))).started_at <= earliest:
            self._lose(oldest, Loss.TIMEOUT)

    def _send_rest(self, call: Call) -> None:
        assert call.connection is not None
        try:
            if call.send():
                self._epoll.modify(call.connection, select.EPOLLIN)
        except OSError as error:
            self._broken(call, error)

    def _receive(self, call: Call) -> None:
        try:
            response = call.receive()
        except LoadFailed as error:
            self._note_wrong(error)
            self._lose(call, Loss.WRONG)
        except OSError as error:
            self._broken(call, error)
        else:
            if response is not None:
                self._answered.append((call, response, time.perf_counter()))
                self._release(call, keep=call.is_sent and not closes(response))
                del self._open[call]

    def _check_answered(self) -> None:
        for call, response, now in self._answered:
            if response[9:12] != OK:
                self.tally.lose(f"{Loss.STATUS} {status_of(response)}")
                continue
            try:
                self._route.check(response, call.request)
                if self.tally.answers < PARSED_ANSWERS:
                    self._route.parse(response, call.request)
            except LoadFailed as error:
                self._note_wrong(error)
                self.tally.lose(Loss.WRONG)
            else:
                self.tally.answered_at.append(now)
                self.tally.latencies.append(now - call.started_at)
        self._answered.clear()

    def _broken(self, call: Call, error: OSError) -> None:
        """Send it again if Weaviate would; it is lost otherwise."""
        repeated = call.pooled and not call.answer_has_begun and call.resends < len(RESEND_PAUSES)
        if not repeated:
            self._lose(call, Loss.REFUSED if isinstance(error, ConnectionRefusedError) else Loss.CLOSED)
            return
        self._release(call, keep=False)
        pause = RESEND_PAUSES[call.resends] * (1 + random.random())
        heapq.heappush(self._paused, (time.perf_counter() + pause, next(self._numbers), call))
        call.resends += 1
        self.tally.resends += 1

    def _lose(self, call: Call, reason: Loss) -> None:
        self._release(call, keep=False)
        del self._open[call]
        self.tally.lose(reason)

    def _note_wrong(self, error: LoadFailed) -> None:
        self.tally.first_wrong = self.tally.first_wrong or str(error)

    def _release(self, call: Call, keep: bool) -> None:
        """Take the call's connection away from it."""
        connection, call.connection = call.connection, None
        if connection is None:
            return
        del self._by_descriptor[connection.fileno()]
        if not (keep and self._idle.put(connection)):
            connection.close()

    def _close(self) -> None:
        for call in self._by_descriptor.values():
            if call.connection is not None:
                call.connection.close()
        self._idle.close()
        self._epoll.close()


def allow_descriptors(count: int) -> None:
    """Let this process have so many open files. Raises ``LoadFailed`` where its hard limit is below."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            raise LoadFailed(f"the load needs {count} open files, and `ulimit -Hn` allows {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else hard, hard))
