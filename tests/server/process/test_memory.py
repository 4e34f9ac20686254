"""Many callers with a megabyte each on a small machine: their bodies take turns, and nobody else waits for them."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

import pytest

from tests.support.server.process_usage import MB, peak_bytes, resident_bytes, wait_until_idle, with_memory
from tests.support.server.server_process import ready
from tests.support.server.weaviate_client import WeaviateClient

MACHINE_MB = 512
CALLERS = 150
ROUNDS = 3

SHARES = MACHINE_MB * MB * 5 // 16
"""For bodies and texts, small and large, and for connections; see ``Memory.of``."""

KEPT = 60 * MB
"""What the allocator and the tokenizer may keep of it afterwards: less than half of what the bodies had."""

TEXT = "a b " * 260_000 + "😀"
"""The one emoji makes each character take 4 bytes."""

IN_BETWEEN = 100


def test_bodies_of_many_callers_take_turns_and_their_memory_comes_back(default_bundle: Path, tmp_path: Path):
    command = with_memory(MACHINE_MB, tmp_path)
    if command is None:
        pytest.skip("this user may not mount")
    body = json.dumps({"text": TEXT}, ensure_ascii=False).encode()
    request = b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with ready(default_bundle, tmp_path / "log", command) as server:
        (worker,) = server.workers()
        server.embed("warm")
        before = resident_bytes(worker)
        for _ in range(ROUNDS):
            with WeaviateClient(server.port, 8) as client, contextlib.ExitStack() as stack:
                for _ in range(CALLERS):
                    caller = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                    caller.setblocking(False)
                    # What the kernel does not take now is not sent. Some bodies arrive, and some do not.
                    caller.send(request)
                client.wait_for_answers(IN_BETWEEN)
                assert client.stop().lost == {}, server.output()
            wait_until_idle(worker)
            assert resident_bytes(worker) - before < KEPT
        assert peak_bytes(worker) - before < SHARES
        assert server.workers() == [worker], server.output()
