"""The benchmark: its texts and arithmetic, its load generator against a real server, what it saves and prints."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bench import process_tree
from bench.__main__ import main
from bench.errors import BenchError, LoadFailed, ServerFailed
from bench.process_tree import Memory
from bench.report.machine import Machine, describe_machine, parse_cpuinfo, versions_in
from bench.report.statistics import median, percentile
from bench.server.fidelity import compare, served_vectors
from bench.server.load_generator import Figures, Order, run_load
from bench.server.loads import LOADS, Load
from bench.server.measured_system import generate_load
from bench.server.measurement import measure
from bench.server.process import free_port
from bench.server.report import render, spread_percent, table
from bench.server.results import Results, Sample, Settings, SystemResult, save
from bench.server.systems import BASELINE, ROOT, SYSTEMS, Launch, System
from bench.server.texts import LONG, SHORT, Length, make_texts, words
from bench.server.wire import check_answer, parse_answer, response_bytes, vectors_request
from build.model.files import ModelFiles
from manifest import Fidelity, Source, SourceKind, read_manifest

DIM = 8
QUICK = Settings(rounds=1, seconds=0.05, starts=1, idle_seconds=0.05)


def stub_vector(text: str) -> list[float]:
    """Any vector that depends on the text."""
    return [math.sin(len(text) * (position + 1)) + 0.5 for position in range(DIM)]


class StubHandler(BaseHTTPRequestHandler):
    """Answers as an embedding server does; ``fault`` makes the tenth and later answers wrong in one way."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    lock = threading.Lock()
    fault = ""
    bodies: tuple[bytes, ...] = ()

    def do_GET(self) -> None:
        self._send(204, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            type(self).bodies += (body,)
            fault = self.fault if len(self.bodies) >= 10 else ""
        text = json.loads(body)["text"]
        vector = stub_vector(text)
        if fault == "close":
            self.close_connection = True
            return
        if fault == "size":
            vector.append(1.0)
        if fault == "text":
            text = "another"
        answer = json.dumps({"text": text, "vector": vector, "dim": len(vector)}, separators=(",", ":"))
        self._send(500 if fault == "status" else 200, answer.encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class StubServer(ThreadingHTTPServer):
    request_queue_size = 64


def serve_stub(port: int) -> None:
    """For a server that is a process of its own."""
    with StubServer(("127.0.0.1", port), StubHandler) as server:
        server.serve_forever()


@contextmanager
def stub(fault: str = "") -> Iterator[tuple[int, type[StubHandler]]]:
    handler = type("Handler", (StubHandler,), {"fault": fault})
    with StubServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1], handler
        finally:
            server.shutdown()
            thread.join()


def order(port: int, load: str = "short-8", seconds: float = 0.2) -> Order:
    return Order(port=port, load=load, seconds=seconds, dim=DIM, seed="test")


def stub_system(name: str, command: list[str] | None = None) -> System:
    def launch(model: ModelFiles, port: int) -> Launch:
        serve = [sys.executable, "-c", f"import tests.bench.server.test_measurement as stub; stub.serve_stub({port})"]
        return Launch(command or serve, {})

    return System(
        name=name,
        about=f"a stub called {name}",
        environment=Path(sys.prefix),
        packages=("numpy",),
        prepare=lambda model: None,
        launch=launch,
    )


def model() -> ModelFiles:
    return ModelFiles("stub/model", Source(SourceKind.DIRECTORY, "sha256:0"), ROOT)


def original(directory: Path, texts: list[str]) -> np.ndarray:
    return np.asarray([stub_vector(text) for text in texts], dtype=np.float32)


def sample(rate: float, p50: float = 2.0) -> Sample:
    return Sample(
        requests_per_second=rate,
        p50_ms=p50,
        p99_ms=2 * p50,
        max_ms=3 * p50,
        requests=round(rate),
        seconds=1.0,
        cpu_ms_per_request=1.0,
        others_cpu_percent=0.0,
    )


def results(others: float = 0.0) -> Results:
    def system(name: str, factor: float) -> SystemResult:
        samples = [
            Sample(**{**vars(sample(rate * factor, 8 / factor)), "others_cpu_percent": others})
            for rate in (90.0, 100.0, 120.0)
        ]
        return SystemResult(
            name=name,
            about=f"about {name}",
            versions={"numpy": "2.0"},
            start_seconds=[4.0 / factor],
            memory_after_start=Memory(rss_mb=400 / factor, pss_mb=390 / factor),
            memory_after_load=Memory(rss_mb=500 / factor, pss_mb=490 / factor),
            idle_cpu_percent=0.25,
            fidelity=Fidelity(texts=2, cosine_mean=0.99, cosine_p1=0.98, cosine_min=0.97),
            samples={load.name: samples for load in LOADS},
        )

    return Results(
        date="2026-01-02T03:04:05+00:00",
        commit="abc",
        model="stub/model",
        baseline=BASELINE,
        machine=Machine("A CPU", "x86_64", 2, ("avx2",), "6.1", "3.11", 0.1),
        settings=Settings(rounds=3, seconds=1.0, starts=1, idle_seconds=1.0),
        systems=[system(BASELINE, 1.0), system("cpu2vec", 4.0)],
    )


class TestTexts:
    @pytest.mark.parametrize("length", [SHORT, LONG], ids=lambda length: length.name)
    def test_are_distinct_and_of_the_length_that_is_promised(self, length: Length):
        texts = make_texts(length, 2000, "a")
        counts = {len(text.split()) for text in texts}
        assert len(set(texts)) == 2000
        assert counts == set(range(length.low, length.high + 1))

    def test_are_the_same_for_the_same_seed_and_others_for_another(self):
        assert make_texts(SHORT, 50, "a") == make_texts(SHORT, 50, "a")
        assert not set(make_texts(SHORT, 50, "a")) & set(make_texts(SHORT, 50, "b"))

    def test_need_no_escape_in_json(self):
        for text in make_texts(LONG, 20, "a"):
            assert text.isascii()
            assert json.dumps(text) == f'"{text}"'

    def test_come_from_many_distinct_words(self):
        assert len(words()) == len(set(words())) > 900


class TestQuantiles:
    @pytest.mark.parametrize("count", [1, 2, 3, 10, 101])
    @pytest.mark.parametrize("percent", [0, 1, 50, 99, 100])
    def test_are_numpys(self, count: int, percent: float):
        values = np.random.default_rng(count).normal(size=count).tolist()
        assert percentile(values, percent) == pytest.approx(np.percentile(values, percent), rel=1e-12)
        assert median(values) == pytest.approx(np.median(values), rel=1e-12)

    def test_of_nothing_are_not_a_number(self):
        assert math.isnan(percentile([], 50))


class TestWire:
    def test_the_request_is_what_weaviates_client_sends(self):
        head, _, body = vectors_request("schöne Worte", 8080).partition(b"\r\n\r\n")
        assert head.startswith(b"POST /vectors HTTP/1.1\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"content-type" not in head.lower()
        assert json.loads(body) == {
            "text": "schöne Worte",
            "dims": 0,
            "vector": None,
            "error": "",
            "config": {"pooling_strategy": "masked_mean", "task_type": "passage"},
        }

    def test_a_response_is_measured_once_its_header_is_there(self):
        response = b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-LENGTH: 3\r\n\r\nabc"
        assert response_bytes(response) == len(response)
        assert response_bytes(response[:30]) is None

    def test_a_response_without_length_is_refused(self):
        with pytest.raises(LoadFailed, match="Content-Length"):
            response_bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    @pytest.mark.parametrize(
        ("status", "body", "message"),
        [
            (503, '{"error":"busy"}', "status is 503.*busy"),
            (200, '{"text":"b","vector":[1,2],"dim":2}', "echo"),
            (200, '{"text":"a","vector":[1,2,3],"dim":3}', "no vector of 2"),
            (200, '{"text":"a"}', "no vector of 2"),
        ],
    )
    def test_wrong_answers_are_found_out(self, status: int, body: str, message: str):
        with pytest.raises(LoadFailed, match=message):
            check_answer(f"HTTP/1.1 {status} X\r\n\r\n{body}".encode(), b'"a"', 2)

    @pytest.mark.parametrize(
        "body",
        [
            "[1,2]",
            '{"text":"a","vector":[1,2],"dim":3}',
            '{"text":"a","vector":[1,NaN],"dim":2}',
            '{"text":"b","vector":[1,2],"dim":2}',
            '{"text":"a","vector":null,"dim":2}',
            "{",
        ],
    )
    def test_parsing_finds_out_more(self, body: str):
        with pytest.raises(LoadFailed):
            parse_answer(f"HTTP/1.1 200 OK\r\n\r\n{body}".encode(), "a")

    def test_a_right_answer_passes(self):
        response = b'HTTP/1.1 200 OK\r\n\r\n{"text":"a","vector":[1,2.5],"dim":2}'
        check_answer(response, b'"a"', 2)
        assert parse_answer(response, "a") == [1, 2.5]


class TestLoadGenerator:
    @pytest.mark.parametrize("load", [load.name for load in LOADS])
    def test_counts_what_the_server_answered(self, load: str):
        with stub() as (port, handler):
            figures = run_load(order(port, load))
            assert figures.answers == len(handler.bodies)
        assert 0 < figures.requests <= figures.answers
        assert 0 < figures.p50_ms <= figures.p99_ms <= figures.max_ms

    def test_ends_when_the_texts_are_used_up(self):
        load = Load(LONG, 1)
        with stub() as (port, _):
            figures = run_load(order(port, load.name, seconds=0.005))
        assert load.max_requests(0.005) == 10
        assert figures.answers <= 11

    def test_sends_no_text_twice(self):
        with stub() as (port, handler):
            run_load(order(port))
            assert len(set(handler.bodies)) == len(handler.bodies) > 8

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            ("status", "status is 500"),
            ("size", "no vector of 8"),
            ("text", "echo"),
            ("close", "closed a connection|connection failed"),
        ],
    )
    @pytest.mark.parametrize("load", ["short-1", "short-32"])
    def test_a_wrong_answer_fails(self, fault: str, message: str, load: str):
        with stub(fault) as (port, _), pytest.raises(LoadFailed, match=message):
            run_load(order(port, load))

    def test_a_closed_port_fails(self):
        with pytest.raises(LoadFailed, match="connection failed"):
            run_load(order(free_port()))

    def test_is_a_process_of_its_own(self):
        with stub() as (port, handler):
            figures = generate_load(order(port))
            assert isinstance(figures, Figures)
            assert figures.answers == len(handler.bodies)
            assert figures.requests_per_second == figures.requests / figures.seconds

    def test_stays_small(self):
        program = (
            "import bench.server.load_generator, sys; sys.exit(bool({'numpy', 'torch', 'build'} & set(sys.modules)))"
        )
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)

    def test_its_process_hands_on_what_went_wrong(self):
        with stub("status") as (port, _), pytest.raises(LoadFailed, match="status is 500"):
            generate_load(order(port))


class TestFidelity:
    def test_a_server_that_is_the_original_is_at_one(self):
        texts = ["", "one", 'with "quotes", \\ and\nlines', "日本語"]
        with stub() as (port, _):
            served = served_vectors(port, texts)
        reference = original(ROOT, texts)
        assert np.array_equal(served, reference)
        assert compare(served, reference) == Fidelity(texts=4, cosine_mean=1, cosine_p1=1, cosine_min=1)

    def test_another_size_is_refused(self):
        with pytest.raises(LoadFailed, match="3 components"):
            compare(np.ones((2, 3), np.float32), np.ones((2, 4), np.float32))


class TestServer:
    def test_a_process_that_ends_is_told_with_its_last_line(self):
        system = stub_system("broken", [sys.executable, "-c", "raise SystemExit('no such model')"])
        with pytest.raises(ServerFailed, match="no such model"):
            system.start(model())

    def test_a_program_that_is_missing_is_told(self):
        with pytest.raises(ServerFailed, match="cannot be started.*make setup"):
            stub_system("absent", ["/nowhere/python"]).start(model())

    def test_is_measured_while_it_runs_and_gone_afterwards(self):
        server = stub_system("stub").start(model())
        try:
            assert server.start_seconds > 0
            assert server.memory().rss_mb >= server.memory().pss_mb > 1
            before = server.cpu_seconds()
            generate_load(order(server.port))
            assert server.cpu_seconds() > before
            server.check_alive()
        finally:
            server.stop()
        with pytest.raises(LoadFailed, match="refused"):
            generate_load(order(server.port))

    def test_descendants_are_counted(self):
        script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", script], **pipes) as process:
            assert process.stdout.readline() == b"1\n"
            pids = process_tree.tree(process.pid)
            process.communicate(b"\n")
        assert len(pids) == 2
        assert pids[0] == process.pid


class TestMeasurement:
    def test_yields_every_figure_of_every_system(self, tmp_path: Path):
        lines: list[str] = []
        systems = [stub_system(BASELINE), stub_system("other")]
        measured = measure(systems, model(), ["a", "bb"], original, QUICK, lines.append)
        assert [system.name for system in measured.systems] == [BASELINE, "other"]
        for system in measured.systems:
            assert system.fidelity.cosine_min == 1
            assert len(system.start_seconds) == QUICK.starts
            assert set(system.samples) == {load.name for load in LOADS}
            assert all(len(samples) == QUICK.rounds for samples in system.samples.values())
            assert system.versions == {"numpy": np.__version__}
        assert sum("round 1/1" in line for line in lines) == 2 * len(LOADS)
        save(measured, tmp_path / "figures.json")
        assert "other" in render(measured)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, BenchError])
    def test_stops_its_servers_however_it_ends(self, error: type[BaseException]):
        def interrupt(line: str) -> None:
            if "round 1" in line:
                raise error

        children = set(process_tree.tree(os.getpid()))
        with pytest.raises(error):
            measure([stub_system("one"), stub_system("two")], model(), ["a"], original, QUICK, interrupt)
        assert set(process_tree.tree(os.getpid())) <= children

    def test_names_the_system_that_fails(self):
        broken = stub_system("broken", [sys.executable, "-c", "raise SystemExit('no such model')"])
        with pytest.raises(ServerFailed, match="broken: .*no such model"):
            measure([broken], model(), ["a"], original, QUICK, lambda line: None)


class TestReport:
    def test_shows_medians_and_ratios_to_the_baseline(self):
        lines = render(results()).splitlines()
        incumbent, ours = [line for line in lines if "80–120 words, 8 connections" in line]
        assert [cell.strip() for cell in incumbent.split("|")[2:7]] == [BASELINE, "100", "8.00", "16.00", "1.00"]
        assert [cell.strip() for cell in ours.split("|")[2:5]] == ["cpu2vec", "400 (4.00 ×)", "2.00 (0.25 ×)"]
        costs = next(line for line in lines if line.startswith("| cpu2vec"))
        assert [cell.strip() for cell in costs.split("|")[2:5]] == ["1.00 (0.25 ×)", "100 (0.25 ×)", "125 (0.25 ×)"]
        assert "WARNING" not in render(results())

    def test_without_the_baseline_shows_no_ratio(self):
        alone = Results(**{**vars(results()), "systems": results().systems[1:]})
        assert "×" not in render(alone)

    def test_warns_where_others_used_the_machine(self):
        assert "WARNING: in 36 of 36 samples" in render(results(others=20.0))

    def test_tables_are_markdown_with_equal_lines(self):
        lines = table(["name", "n"], [["a", "1"], ["longer", "22"]], left=1).splitlines()
        assert lines == ["| name   |  n |", "| ------ | -: |", "| a      |  1 |", "| longer | 22 |"]

    def test_the_spread_is_in_percent_of_the_median(self):
        assert spread_percent([90, 100, 120]) == pytest.approx(30)

    def test_the_file_holds_everything(self, tmp_path: Path):
        path = tmp_path / "deep" / "figures.json"
        save(results(), path)
        saved = json.loads(path.read_text(encoding="utf-8"))
        assert set(saved) == {"date", "commit", "model", "baseline", "machine", "settings", "systems"}
        assert saved["machine"]["flags"] == ["avx2"]
        assert saved["settings"]["rounds"] == 3
        system = saved["systems"][1]
        assert system["memory_after_load"] == {"rss_mb": 125, "pss_mb": 122.5}
        assert [each["requests_per_second"] for each in system["samples"]["long-8"]] == [360, 400, 480]


class TestMachine:
    def test_reads_an_x86_cpu(self):
        text = "cpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon\nflags\t\t: fpu amx_int8 avx2 avx512_vnni\n"
        assert parse_cpuinfo(text) == ("Xeon (family 6 model 143)", ("avx2", "avx512_vnni", "amx_int8"))

    def test_reads_an_arm_cpu(self):
        text = "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
        assert parse_cpuinfo(text) == ("implementer 0x41 part 0xd0c", ("asimd", "asimddp", "i8mm"))

    def test_describes_this_one(self):
        machine = describe_machine()
        assert machine.cpu
        assert machine.cores == len(os.sched_getaffinity(0))

    def test_names_the_versions_of_an_environment(self):
        assert versions_in(Path(sys.prefix), ("numpy", "no-such-package")) == {"numpy": np.__version__}


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--systems", "nobody"], "'nobody' is none of incumbent, cpu2vec"),
            (["--systems", "cpu2vec,cpu2vec"], "named twice"),
            (["--rounds", "0"], "must be more than 0"),
            (["--seconds", "-1"], "must be more than 0"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert message in capsys.readouterr().err

    def test_help_names_every_system(self, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit):
            main(["--help"])
        shown = capsys.readouterr().out
        assert all(system.name in shown for system in SYSTEMS)


def test_working_memory_is_measured_beside_what_the_manifest_states(default_bundle: Path):
    command = [sys.executable, "-m", "bench.models.working_memory", str(default_bundle), "128", "256"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows = [[float(cell) for cell in line.strip("| ").split("|")] for line in ran.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == [128, 256]
    memory = read_manifest(default_bundle).text.main_encoder.memory
    for tokens, peak, kept, stated in rows:
        assert stated == round(memory.of(int(tokens)) / 1e6, 1)
        assert 0 <= kept <= peak <= stated


@pytest.mark.parametrize(
    ("words", "message"),
    [(["nowhere"], "bench: nowhere has no manifest.json"), (["{bundle}", "257"], "257 tokens are")],
)
def test_working_memory_that_cannot_be_measured_is_told(default_bundle: Path, words: list[str], message: str):
    arguments = [word.format(bundle=default_bundle) for word in words]
    command = [sys.executable, "-m", "bench.models.working_memory", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 1
    assert message in ran.stderr
