"""Bodies take turns within their shares of memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from runtime.http.limits import TINY_BODY, HttpLimits, Memory
from tests.support.server.http_requests import MEGABYTE, PATIENT, SHORT, post
from tests.support.server.http_server import run, serving, until
from tests.support.server.recording_app import RecordingApp


class TestMemoryForBodies:
    MEMORY = Memory(max_body=MEGABYTE, small_bodies=5 * 3 * 10_000, large_bodies=5 * 200_000)

    def test_large_bodies_take_turns_and_small_ones_pass_them(self):
        app = RecordingApp()

        async def main() -> list[bytes]:
            async with serving(app, HttpLimits(PATIENT, self.MEMORY)) as server:
                clients = [await server.client() for _ in range(4)]
                for number, client in enumerate(clients):
                    client.send(post(b"%d" % number * 150_000, f"/held/{number}"))
                await until(lambda: len(app.begun) == 4)
                await asyncio.sleep(0.05)
                assert len(app.bodies) == 1
                small = await server.client()
                small.send(post(b"small"))
                assert await small.answer() == (200, b"small")
                app.release.set()
                answers = [await client.answer() for client in clients]
                return [body[:1] for _, body in answers]

        assert run(main) == [b"0", b"1", b"2", b"3"]

    def test_small_bodies_take_turns_too_and_tiny_ones_pass_them(self):
        app = RecordingApp()

        async def main() -> int:
            async with serving(app, HttpLimits(PATIENT, self.MEMORY)) as server:
                clients = [await server.client() for _ in range(10)]
                for client in clients:
                    client.send(post(b"x" * 10_000, "/held"))
                await until(lambda: len(app.begun) == 10)
                await asyncio.sleep(0.05)
                begun = len(app.bodies)
                tiny = await server.client()
                tiny.send(post(b"x" * TINY_BODY))
                assert (await tiny.answer())[0] == 200
                app.release.set()
                assert [(await client.answer())[0] for client in clients] == [200] * 10
                return begun

        assert run(main) == 3

    def test_memory_that_the_text_does_not_need_is_given_back_early(self):
        app = RecordingApp()

        async def keeping_little(scope, receive, send):
            body = scope["cpu2vec.body"]
            read = body.read

            async def read_and_keep() -> bytes:
                data = await read()
                body.keep(100)
                return data

            body.read = read_and_keep
            await app(scope, receive, send)

        async def main() -> None:
            async with serving(keeping_little, HttpLimits(PATIENT, self.MEMORY)) as server:
                clients = [await server.client() for _ in range(4)]
                for client in clients:
                    client.send(post(b"x" * 190_000, "/held"))
                await until(lambda: len(app.bodies) == 4)
                app.release.set()

        run(main)

    def test_one_larger_than_the_share_goes_alone(self):
        async def main() -> tuple[int, bytes]:
            async with serving(RecordingApp(), HttpLimits(PATIENT, self.MEMORY)) as server:
                client = await server.client()
                client.send(post(b"x" * MEGABYTE))
                return await client.answer()

        assert run(main) == (200, b"x" * MEGABYTE)

    def test_one_that_stalls_while_others_wait_loses_its_turn(self):
        app = RecordingApp()

        async def main() -> tuple[bytes, tuple[int, bytes]]:
            async with serving(app, HttpLimits(replace(PATIENT, stall=SHORT), self.MEMORY)) as server:
                stalled, waiting = await server.client(), await server.client()
                stalled.send(post(b"x" * 200_000)[:100_000])
                await until(lambda: app.begun)
                await asyncio.sleep(3 * SHORT)
                waiting.send(post(b"y" * 200_000))
                return await stalled.rest(), await waiting.answer()

        answer, other = run(main)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"others wait" in answer
        assert other == (200, b"y" * 200_000)

    def test_one_whose_turn_does_not_come_in_time_is_a_503(self):
        app = RecordingApp()

        async def main() -> bytes:
            async with serving(app, HttpLimits(replace(PATIENT, request=SHORT), self.MEMORY)) as server:
                first, second = await server.client(), await server.client()
                first.send(post(b"x" * 200_000, "/held"))
                await until(lambda: app.bodies)
                second.send(post(b"y" * 200_000))
                answer = await second.rest()
                app.release.set()
                assert (await first.answer())[0] == 200
                return answer

        answer = run(main)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"REQUEST_TIMEOUT" in answer

    def test_waiting_for_memory_does_not_put_off_the_deadline_of_the_request(self):
        app = RecordingApp()
        seen: list[tuple[float, float, float]] = []

        async def watching(scope, receive, send):
            body, began = scope["cpu2vec.body"], asyncio.get_running_loop().time()
            at_first = body.deadline
            await app(scope, receive, send)
            seen.append((began, at_first, body.deadline))

        async def main() -> None:
            async with serving(watching, HttpLimits(replace(PATIENT, request=100.0), self.MEMORY)) as server:
                first, second = await server.client(), await server.client()
                first.send(post(b"x" * 200_000, "/held"))
                await until(lambda: app.bodies)
                second.send(post(b"y" * 200_000))
                await until(lambda: len(app.begun) == 2)
                await asyncio.sleep(3 * SHORT)
                app.release.set()
                assert (await second.answer())[0] == 200
                await until(lambda: len(seen) == 2)

        run(main)
        assert all(0 < at_first <= began + 100.0 and at_first == at_last for began, at_first, at_last in seen)

    def test_the_deadline_of_a_body_begins_with_its_turn(self):
        app = RecordingApp()

        async def main() -> tuple[int, bytes]:
            async with serving(app, HttpLimits(replace(PATIENT, body=SHORT), self.MEMORY)) as server:
                first, second = await server.client(), await server.client()
                first.send(post(b"x" * 200_000, "/held"))
                await until(lambda: app.bodies)
                second.send(post(b"y" * 200_000))
                await asyncio.sleep(3 * SHORT)
                app.release.set()
                await first.answer()
                return await second.answer()

        assert run(main) == (200, b"y" * 200_000)
