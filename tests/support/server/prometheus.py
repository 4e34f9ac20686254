"""A real Prometheus that scrapes a server of the tests."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.fidelity.runtime_process import free_port
from tests.support.programs.debian import program
from tests.support.server.server_process import wait_until

SCRAPE_SECONDS = 1


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    port: int

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its HTTP API. Fails with Prometheus' own message where there is an error."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query: each with ``metric`` and ``value``."""
        result: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return result

    def wait_for_scrapes(self, count: int) -> None:
        """Wait until the server has been scraped so often from now on."""
        first = self._scrapes()
        wait_until(lambda: self._scrapes() >= first + count, "the server is not scraped")

    def _scrapes(self) -> float:
        found = self.query('count_over_time(up{job="cpu2vec"}[1h])')
        return float(found[0]["value"][1]) if found else 0

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready"):
                return True
        except OSError:
            return False


@contextmanager
def running_prometheus(
    directory: Path, port: int, labels: dict[str, str], rule_files: Sequence[Path]
) -> Iterator[Prometheus]:
    """One that scrapes the server at ``port``, whose series get ``labels``. ``directory``: for its files."""
    configuration = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
        "rule_files": [str(file) for file in rule_files],
        "scrape_configs": [
            {"job_name": "cpu2vec", "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]}
        ],
    }
    # JSON is YAML, too.
    (directory / "prometheus.yml").write_text(json.dumps(configuration))
    own = free_port()
    command = [
        program("prometheus", "prometheus"),
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
    ]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            prometheus = Prometheus(own)
            wait_until(prometheus.is_ready, "Prometheus does not start", (directory / "prometheus.log").read_text)
            yield prometheus
        finally:
            process.kill()
            process.wait()
