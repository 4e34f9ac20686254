"""A whole soak of servers without a model, their replacements, and the command line."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import pytest

from bench.errors import ServerFailed
from bench.server.process import Server, free_port
from bench.soak import fleet as fleet_module
from bench.soak import observer, plan
from bench.soak.__main__ import duration, main
from bench.soak.callers import crowd, probes
from bench.soak.callers.crowd import Caller
from bench.soak.fleet import Fleet, cut_in
from bench.soak.losses import Losses
from bench.soak.plan import Plan
from bench.soak.plot import plot
from bench.soak.progress import CLEAR, Progress
from bench.soak.report import render
from bench.soak.results import INTERRUPTED
from bench.soak.run import soak
from bench.soak.verdict import faults
from manifest import GOLDEN_FILE, Golden, GoldenRequest, Tolerance, to_json
from tests.support.paths import ROOT
from tests.support.server.stub_server import stub_vector

pytestmark = pytest.mark.slow

PLAN = Plan(seconds=4, restart_seconds=1, in_flight=4, leavers=2, slow=2, max_requests=1_000_000, drain_seconds=0)
PROGRAM = """
import signal, sys, threading
from tests.support.server.stub_server import embedding
from tests.support.server.stub_container import serving

asked = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: asked.set())
with serving(embedding(), {port}) as (_, seen):
    while not asked.wait(0.05) and len(seen.paths) < {requests}:
        pass
    before = -1
    while asked.is_set() and before != len(seen.paths):  # callers go elsewhere by and by
        before = len(seen.paths)
        threading.Event().wait(1.0)
{end}
"""


def starting(end: str = "", requests: int = sys.maxsize):
    """Starts stubs that drain: they end once nobody has asked for a second. ``end``: what they do then.

    ``requests``: they end unasked after so many.
    """

    def start() -> Server:
        port = free_port()
        program = PROGRAM.format(port=port, requests=requests, end=end)
        return Server([sys.executable, "-c", program], port, {"PATH": os.defpath}, ROOT)

    return start


def is_there(server: Server) -> bool:
    return Path(f"/proc/{server.pid}").exists()


def silent() -> Progress:
    return Progress(PLAN.seconds, io.StringIO())


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    entry = GoldenRequest("/vectors", {"text": "one"}, {"vector": stub_vector("one")}, Tolerance(min_cosine=0.999))
    (tmp_path / GOLDEN_FILE).write_text(to_json(Golden((entry,))))
    return tmp_path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "FOLLOW_SECONDS", 0.1)
    monkeypatch.setattr(plan, "START_SECONDS", 0.5)
    monkeypatch.setattr(observer, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(probes, "LARGE_BYTES", 10_000)
    monkeypatch.setattr(crowd, "SLOW_PAUSE", 0.01)
    monkeypatch.setattr(crowd, "LOOK_SECONDS", 0.01)


class TestSoak:
    def test_servers_take_turns_and_nothing_is_lost(self, bundle: Path):
        measured = soak(bundle, "stub/model", PLAN, starting(), silent())
        assert measured.stopped_by == ""
        assert measured.losses == Losses({}, 0, 0)
        assert measured.seconds >= PLAN.seconds
        assert [server.number for server in measured.servers] == [1, 2, 3, 4]
        assert [server.status for server in measured.servers[:-1]] == [0, 0, 0]
        assert all(measured.looks_at(server.number) for server in measured.servers)
        for earlier, later in zip(measured.servers, measured.servers[1:], strict=False):
            assert later.ready_at <= earlier.asked_at <= earlier.ended_at
        assert measured.servers[-1].asked_at is None
        assert measured.servers[-1].descriptors_left is not None
        assert sum(window.answers for window in measured.windows) <= measured.callers[Caller.WEAVIATE].answered
        assert measured.callers[Caller.WEAVIATE].answered == measured.callers[Caller.WEAVIATE].sent > 0
        assert measured.left > 0
        assert measured.compared > 0
        assert "| 4 " in render(measured)
        assert "<svg" in plot(measured)

    def test_ctrl_c_ends_it_with_what_was_measured(self, bundle: Path):
        start, servers = starting(), []

        def start_or_interrupt() -> Server:
            if len(servers) == 2:
                raise KeyboardInterrupt
            servers.append(start())
            return servers[-1]

        measured = soak(bundle, "stub/model", PLAN, start_or_interrupt, silent())
        assert measured.stopped_by == INTERRUPTED
        assert measured.losses == Losses({}, 0, 0)
        assert len(measured.servers) == 2
        assert measured.answers > 0
        assert not any(is_there(server) for server in servers)

    def test_what_fails_before_the_load_stops_the_server(self, bundle: Path):
        servers = []

        def start() -> Server:
            servers.append(starting()())
            (bundle / GOLDEN_FILE).unlink()  # what is read next
            return servers[-1]

        with pytest.raises(Exception, match=r"golden\.json"):
            soak(bundle, "stub/model", PLAN, start, silent())
        assert not is_there(servers[0])

    def test_a_server_that_ends_unasked_is_a_fault(self, bundle: Path):
        start = starting(end="print('out of tune'); sys.exit(7)", requests=500)
        measured = soak(bundle, "stub/model", Plan(600, 600, 4, 2, 2, 1_000_000), start, silent())
        assert measured.stopped_by == "the server ended with status 7: out of tune"
        assert measured.stopped_by in faults(measured)
        assert "server 1 ended with status 7" in faults(measured)

    def test_more_requests_than_allowed_are_a_fault(self, bundle: Path):
        measured = soak(bundle, "stub/model", Plan(600, 600, 4, 2, 2, max_requests=50), starting(), silent())
        assert "raise --max-requests" in measured.stopped_by
        assert faults(measured) == [measured.stopped_by]
        assert measured.callers[Caller.WEAVIATE].sent == 50


class TestFleet:
    def test_callers_are_sent_to_the_replacement_and_the_old_one_ends(self):
        ports: list[int] = []
        fleet = Fleet(starting(), ports.append)
        try:
            first = fleet.start()
            second = fleet.replace()
            assert fleet.lives == [first, second]
            assert fleet.running == [second]
            assert ports == [second.server.port]
            assert first.status == 0
            assert second.ready_at <= first.asked_at < first.ended_at
        finally:
            fleet.stop()
        assert fleet.running == []
        assert second.status == 0

    def test_what_a_server_cut_is_read_from_its_log(self):
        end = "print('5 request(s) in progress were cut off at the end', flush=True); sys.exit(3)"
        fleet = Fleet(starting(end), lambda port: None)
        life = fleet.start()
        fleet.stop()
        assert (life.cut, life.status) == (5, 3)

    def test_one_that_has_ended_is_not_replaced(self):
        fleet = Fleet(starting("sys.exit(7)"), lambda port: None)
        first = fleet.start()
        first.server.ask_to_end()
        first.server.wait_for_end()
        with pytest.raises(ServerFailed, match="the server ended with status 7"):
            fleet.replace()
        fleet.stop()
        assert (fleet.lives, first.status) == ([first], 7)

    def test_the_runtimes_words_are_known(self):
        serving = (ROOT / "runtime" / "server" / "serving.py").read_text()
        (message,) = re.findall(r'"(.*cut off.*)"', serving)
        assert cut_in(f"ready\n{message % 12}\nstopped") == 12
        assert cut_in("ready\nstopped\n") == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestProgress:
    def test_elsewhere_each_line_stays(self):
        stream = io.StringIO()
        progress = Progress(60, stream)
        progress.log("one")
        progress.log("two")
        progress.close()
        assert re.fullmatch(r"\[ +0 s\] one\n\[ +0 s\] two\n", stream.getvalue())

    def test_on_a_terminal_a_line_changes(self, bundle: Path):
        stream = Terminal()
        soak(bundle, "stub/model", Plan(2, 600, 4, 2, 2, 1_000_000), starting(), Progress(2, stream))
        written = stream.getvalue()
        assert written.count(CLEAR) > 5
        assert re.search(r"\d of 2 s, \d+/s, p99 [\d.]+ s, RSS \d+ MB, \d+ descriptors, 0 without an answer", written)
        assert written.endswith("\n")
        assert f"{CLEAR}[" in written


class TestCommand:
    def test_help_teaches(self, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit) as ended:
            main(["--help"])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        for phrase in ("examples:", "make soak", "exit status:", "DRAIN_SECONDS (8)", "Ctrl-C"):
            assert phrase in shown
        assert max(map(len, shown.splitlines())) <= 120

    @pytest.mark.parametrize("text", ["", "soon", "-1", "5s", "0", "90 s", "1e3", "25h", "1441", "nan"])
    def test_a_duration_must_be_one(self, text: str, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit) as ended:
            main([f"--duration={text}"])
        assert ended.value.code == 2
        assert "must be" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("text", "seconds"), [("10", 600), ("10m", 600), ("90s", 90), ("1.5", 90), ("10s", 10), ("1440", 86_400)]
    )
    def test_a_duration_is_in_minutes_or_in_seconds(self, text: str, seconds: float, tmp_path: Path, capsys):
        assert main([f"--duration={text}", f"--bundle={tmp_path}"]) == 1
        assert "BUNDLE must be an existing bundle" in capsys.readouterr().err
        assert duration(text) == seconds
