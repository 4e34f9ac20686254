"""What counting costs: both servers as real processes, and the comparison."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from pathlib import Path

from bench.bundles import unverified_bundle
from bench.environment import RUNTIME_ENVIRONMENT, python_in
from bench.server.process import Server
from bench.server.runtime import serve_bundle
from bench.static.counting import Turns, render
from build.precisions import PRECISIONS
from manifest import Precision
from tests.support.models.static_models import own_layout, wordpiece
from tests.support.server.stub_server import MODEL, stub_system


def metrics(server: Server) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
        return answer.read().decode()


def test_a_server_that_counts_nothing_answers_all_the_same(tmp_path: Path):
    directory = own_layout(tmp_path / "model", wordpiece())
    bundle = unverified_bundle(str(directory), PRECISIONS[Precision.STORED], tmp_path / "bundle")
    for module, counted in (("runtime", True), ("bench.static.uncounted", False)):

        def launch(model, port, module=module):
            command = [python_in(RUNTIME_ENVIRONMENT), "-m", module]
            return replace(serve_bundle(RUNTIME_ENVIRONMENT, bundle, port), command=command)

        server = replace(stub_system(module), launch=launch).start(MODEL)
        try:
            metrics(server)
            assert ('route="/metrics",status="200"' in metrics(server)) == counted
        finally:
            server.stop()


def test_pairs_of_turns_are_compared():
    counted, uncounted = (Turns(name, server=None) for name in ("cpu2vec", "uncounted"))
    counted.rates, uncounted.rates = [100.0, 200.0, 100.0], [101.0, 200.0, 110.0]
    counted.microseconds, uncounted.microseconds = [51.0, 104.0, 55.0], [50.0, 100.0, 50.0]
    assert "counting takes 1.0 % (0.5 to 5.5 in half" in render(counted, uncounted)
    assert "and 4.0 % (3.0 to 7.0 in half of the pairs) of the CPU" in render(counted, uncounted)
