"""The server as a whole: accepting at its limits, and draining without losing a request."""

from __future__ import annotations

import asyncio
import errno
import math
import resource
import socket
import time
from dataclasses import replace

import pytest

from runtime.http import acceptor, http_server
from runtime.http.http_server import connection_limit
from runtime.http.limits import (
    BYTES_PER_BODY_BYTE,
    BYTES_PER_CONNECTION,
    SPARE_CONNECTIONS,
    Deadlines,
    Draining,
    HttpLimits,
    Memory,
    least_total,
)
from tests.support.server.http_server import PATIENCE, Client, run, serving, until
from tests.support.server.recording_app import RecordingApp

LINGER = 0.3

PATIENT = Deadlines(
    head=PATIENCE, body=PATIENCE, keep_alive=PATIENCE, write=PATIENCE, age=math.inf, check=0.02, request=None
)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HELD = b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n"
PROBE = b"GET /.well-known/ready HTTP/1.1\r\nHost: a\r\n\r\n"


def limits(linger: float = LINGER, longest: float = PATIENCE, max_connections: int = 4096) -> HttpLimits:
    return HttpLimits(PATIENT, Memory(max_connections=max_connections), Draining(linger, longest))


@pytest.fixture(autouse=True)
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MIN_LINGER_IN_USE", LINGER)


async def asks(client: Client, request: bytes = GET) -> bytes:
    client.send(request)
    return await client.head()


class TestDraining:
    def test_open_and_new_connections_are_answered_for_the_last_time(self):
        async def main() -> tuple[list[bytes], int]:
            async with serving(RecordingApp(), limits()) as server:
                kept = await server.client()
                await asks(kept)
                unused = await server.client()
                draining = server.server.drain()
                await asyncio.sleep(LINGER / 2)
                heads = [await asks(kept), await asks(unused), await asks(await server.client())]
                await draining
                return heads, await server.serving

        heads, cut = run(main)
        assert [head.split()[1] for head in heads] == [b"200"] * 3
        assert all(b"connection: close" in head for head in heads)
        assert cut == 0

    def test_it_ends_once_nothing_has_come_for_a_while(self):
        app = RecordingApp()

        async def main() -> bool:
            async with serving(app, limits()) as server:
                held = await server.client()
                held.send(HELD)
                await until(lambda: app.bodies)
                draining = server.server.drain()
                await asyncio.sleep(3 * LINGER)
                had_ended = draining.done()
                app.release.set()
                assert (await held.answer())[0] == 200
                await draining
                return had_ended

        assert not run(main)

    def test_it_ends_once_it_has_no_guests(self):
        async def main() -> bool:
            async with serving(RecordingApp(), limits()) as server:
                server.server._seat.count_guest(1)
                draining = server.server.drain()
                await asyncio.sleep(3 * LINGER)
                had_ended = draining.done()
                server.server._seat.count_guest(-1)
                await draining
                return had_ended

        assert not run(main)

    def test_an_idle_server_ends_and_probes_do_not_hold_it_up(self):
        async def main() -> int:
            async with serving(RecordingApp(), limits()) as server:
                draining = server.server.drain()
                probes = 0
                while not draining.done():
                    await server.talk(PROBE)
                    probes += 1
                return probes

        assert run(main) > 1

    @pytest.mark.parametrize("path", [b"/", b"/.well-known/live"])
    def test_a_server_in_use_lingers_longer(self, path: bytes, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(http_server, "MIN_LINGER_IN_USE", 10 * LINGER)

        async def main() -> bool:
            async with serving(RecordingApp(), limits()) as server:
                await server.talk(b"GET %b HTTP/1.1\r\nConnection: close\r\n\r\n" % path)
                draining = server.server.drain()
                await asyncio.sleep(4 * LINGER)
                return draining.done()

        assert run(main) is path.startswith(b"/.well-known")

    def test_a_connection_that_was_just_made_may_still_send_its_request(self):
        async def main() -> bytes:
            async with serving(RecordingApp(), limits(linger=3 * LINGER)) as server:
                draining = server.server.drain()
                await asyncio.sleep(2.5 * LINGER)
                late = await server.client()
                await asyncio.sleep(LINGER)
                head = await asks(late)
                await draining
                return head

        assert run(main).startswith(b"HTTP/1.1 200")

    def test_what_takes_too_long_is_cut_off_and_counted(self):
        app = RecordingApp()

        async def main() -> tuple[int, list[bytes]]:
            async with serving(app, limits(longest=LINGER)) as server:
                clients = [await server.client() for _ in range(3)]
                for client in clients:
                    client.send(HELD)
                await until(lambda: len(app.bodies) == 3)
                await server.server.drain()
                cut = await server.serving
                return cut, [await client.rest() for client in clients]

        assert run(main) == (3, [b""] * 3)
        assert len(app.cancelled) == 3


class TestAccepting:
    def test_beyond_the_limit_connections_wait_and_none_is_lost(self, caplog: pytest.LogCaptureFixture):
        app = RecordingApp()

        async def main() -> tuple[int, list[int]]:
            async with serving(app, limits(max_connections=5)) as server:
                clients = [await server.client() for _ in range(40)]
                for client in clients:
                    client.send(HELD.replace(b"Host: a", b"Connection: close"))
                await until(lambda: len(app.bodies) == 5 + SPARE_CONNECTIONS)
                await asyncio.sleep(0.3)
                most = server.server.connections
                app.release.set()
                return most, [(await client.answer())[0] for client in clients]

        most, statuses = run(main)
        assert most == 5 + SPARE_CONNECTIONS
        assert statuses == [200] * 40
        assert caplog.text.count("no more connections are accepted for now: there are 21, and the limit is 5") == 1

    def test_a_probe_gets_through_at_the_limit_and_its_connection_is_not_kept(self):
        app = RecordingApp()

        async def main() -> list[bytes]:
            async with serving(app, limits(max_connections=2)) as server:
                held = [await server.client() for _ in range(2)]
                for client in held:
                    client.send(HELD)
                await until(lambda: len(app.bodies) == 2)
                return [await asks(await server.client(), PROBE) for _ in range(SPARE_CONNECTIONS + 1)]

        assert all(b"connection: close" in head for head in run(main))

    def test_the_connection_that_was_idle_longest_makes_room(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(acceptor, "IDLE_SECONDS", 0)

        async def main() -> list[bytes]:
            async with serving(RecordingApp(), limits(max_connections=2)) as server:
                oldest, other = await server.client(), await server.client()
                await asks(oldest)
                await asks(other)
                newest = await server.client()
                head = await asks(newest)
                ended = await oldest.rest()
                return [head.split()[1], ended, (await asks(other)).split()[1]]

        assert run(main) == [b"200", b"", b"200"]

    def test_running_out_of_file_descriptors_loses_nobody(self, caplog: pytest.LogCaptureFixture):
        async def main() -> list[int]:
            async with serving(RecordingApp(), limits()) as server:
                clients = [await server.client() for _ in range(3)]
                spare = [socket.socket() for _ in range(2)]
                with all_descriptors_taken():
                    waiting = clients[:2]
                    for sock in spare:
                        sock.setblocking(False)
                        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
                    await asyncio.sleep(0.3)
                    statuses = []
                    for client in waiting:
                        client.send(GET)
                        statuses.append((await client.answer())[0])
                for sock in spare:
                    client = Client(*await asyncio.open_connection(sock=sock))
                    server.clients.append(client)
                    client.send(GET)
                    statuses.append((await client.answer())[0])
                return statuses

        assert run(main) == [200] * 4
        assert "no more connections are accepted for now" in caplog.text

    def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
            assert connection_limit(Memory(max_connections=100)) == 100
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestPauses:
    def test_a_pause_of_the_process_ends_no_connection(self, monkeypatch: pytest.MonkeyPatch):
        """What a client sends while the server is stopped is read later, and counts as sent in time."""
        monkeypatch.setattr(http_server, "PAUSE_SECONDS", LINGER)
        hasty = replace(PATIENT, head=LINGER, body=LINGER)

        async def main() -> tuple[int, bytes]:
            async with serving(RecordingApp(), HttpLimits(hasty)) as server:
                client = await server.client()
                client.send(b"POST / HTTP/1.1\r\nContent-Length: 9000\r\n\r\n")
                await asyncio.sleep(LINGER / 2)
                time.sleep(3 * LINGER)
                await asyncio.sleep(hasty.check * 2)
                client.send(b"x" * 9000)
                return await client.answer()

        assert run(main)[0] == 200


class TestMemoryOfAContainer:
    @pytest.mark.parametrize("total", [256 << 20, 512 << 20, 1 << 30, 64 << 30])
    def test_shares_stay_within_a_third(self, total: int):
        memory = Memory.of(total, max_body=1 << 20)
        connections = memory.max_connections * BYTES_PER_CONNECTION
        assert memory.small_bodies + memory.large_bodies + connections <= total / 3
        assert memory.max_connections >= 1000

    def test_a_body_that_does_not_fit_is_never_read(self):
        assert Memory.of(512 << 20, max_body=1 << 30).max_body == (128 << 20) // BYTES_PER_BODY_BYTE
        assert Memory.of(512 << 20, max_body=1 << 20).max_body == 1 << 20

    @pytest.mark.parametrize("max_body", [1, 1 << 20, 8 << 20])
    def test_from_its_least_total_on_it_is(self, max_body: int):
        assert Memory.of(least_total(max_body), max_body).max_body == max_body
        assert Memory.of(least_total(max_body) - 1, max_body).max_body < max_body


class all_descriptors_taken:
    """Lowers the limit to what is in use, so that not one descriptor is left."""

    def __enter__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        probe = socket.socket()
        used = probe.fileno()
        probe.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, self._limits[1]))
        with pytest.raises(OSError) as failed:
            socket.socket()
        assert failed.value.errno == errno.EMFILE

    def __exit__(self, *exception: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)
