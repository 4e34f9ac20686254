"""How the workers of a server share its connections, as the kernel tells it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.support.server.server_process import Server, wait_until


def connections_of(pid: int, port: int) -> int:
    """How many connections of clients the process has, by the kernel's tables."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "01":
                inodes.add(f"socket:[{fields[9]}]")
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(descriptor.readlink()) in inodes
    return found


def shares(server: Server) -> list[int]:
    """The connections of each worker, the fewest first."""
    return sorted(connections_of(worker, server.port) for worker in server.workers())


def all_accepted(server: Server, count: int) -> None:
    wait_until(lambda: sum(shares(server)) == count, "not all connections are accepted", server.output)
