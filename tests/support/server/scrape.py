"""Reads ``GET /metrics`` of a server with the official client's parser."""

from __future__ import annotations

from contextlib import ExitStack

from prometheus_client.parser import text_string_to_metric_families

from tests.support.server.server_process import Connection, Server, wait_until

CONNECTIONS = 8
"""So many that each of a few workers has one."""


class Samples(dict[str, float]):
    """Every sample, as ``name{label=value}``; 0 where there is none."""

    def __missing__(self, name: str) -> float:
        return 0.0

    @property
    def routes(self) -> set[str]:
        """All paths that are counted apart."""
        start = "cpu2vec_request_seconds_count{route="
        return {name.removeprefix(start).removesuffix("}") for name in self if name.startswith(start)}

    @property
    def info(self) -> str:
        """The sample that says what is served."""
        (info,) = (name for name in self if name.startswith("cpu2vec_info"))
        return info


def scrape(server: Server, headers: dict[str, str] | None = None) -> Samples:
    """What the server shows now."""
    with server.connect() as connection:
        return _scraped(connection, headers)


def scrape_workers(server: Server) -> Samples:
    """What the server shows once each worker has shown all that it has counted, which it does when it is asked itself.

    Connections that are open together are divided among the workers.
    """
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(CONNECTIONS)]
        *_, last = [_scraped(connection) for connection in connections]
    return last


def _scraped(connection: Connection, headers: dict[str, str] | None = None) -> Samples:
    answer = connection.request("GET", "/metrics", headers=headers)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = Samples()
    for family in text_string_to_metric_families(answer.body.decode()):
        assert family.documentation
        for each in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(each.labels.items()))
            found[f"{each.name}{{{labels}}}" if labels else each.name] = each.value
    return found


def scrape_when(
    server: Server, before: Samples, name: str, growth: float, headers: dict[str, str] | None = None
) -> Samples:
    """What the server shows once this sample has grown so much: another worker's figures are a little late."""

    def has_grown() -> bool:
        return scrape(server, headers)[name] - before[name] >= growth

    wait_until(has_grown, f"{name} does not grow by {growth}", lambda: str(scrape(server, headers)))
    return scrape(server, headers)
