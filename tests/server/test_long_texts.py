"""Texts beyond a model's window, through the real server: against the original's vectors of each window."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from manifest import Precision, project_version
from tests.support.bundles.unverified import unverified
from tests.support.models import tiny_models
from tests.support.models.tiny_models import TinyModel
from tests.support.patience import PATIENCE
from tests.support.server.server_process import Answer, Connection, Server, ready, started

MODEL = TinyModel(
    "long-texts", "bert", "bert", "BertModel", normalize=True, prompts={"query": "query : "}, max_seq_length=32
)
SENTENCES = [
    "the river and a stone .",
    "paper of seven green leaves in the morning light !",
    "hello market ferry ?",
    "walk under the island at seven .",
    "the light of a green market in the morning and a walk .",
] * 4
"""Each word and each sign is one token, so that how many sentences fill a window can be counted by hand."""

MEGABYTE = 1_000_000
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unverified(tiny_models.make(MODEL), tmp_path_factory.mktemp("long") / "bundle", Precision.FP32).bundle


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return SentenceTransformer(str(tiny_models.make(MODEL)), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(bundle, tmp_path_factory.mktemp("log") / "log") as server:
        yield server


def windows_of(sentences: list[str], room: int) -> list[str]:
    """As many whole sentences as go into ``room`` words."""
    windows: list[list[str]] = []
    for sentence in sentences:
        if windows and len(" ".join([*windows[-1], sentence]).split()) <= room:
            windows[-1].append(sentence)
        else:
            windows.append([sentence])
    return [" ".join(window) for window in windows]


def average(model: SentenceTransformer, windows: list[str], prompt: str = "") -> NDArray[np.float64]:
    vectors = model.encode([prompt + window for window in windows], prompt="").astype(np.float64)
    total = np.array([len(window.split()) for window in windows]) @ vectors
    return total / np.linalg.norm(total)


def vector_of(answer: Answer) -> NDArray[np.float64]:
    assert answer.status == 200, answer.body
    return np.asarray(answer.json["vector"])


def assert_close(found: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    assert np.abs(found - expected).max() <= TOLERANCE


def test_a_long_text_is_the_average_of_its_windows(server: Server, model: SentenceTransformer):
    windows = windows_of(SENTENCES, 30)
    assert len(windows) > 4
    assert_close(vector_of(server.embed(" ".join(SENTENCES))), average(model, windows))


def test_a_prompt_stands_before_each_window(server: Server, model: SentenceTransformer):
    expected = average(model, windows_of(SENTENCES, 28), "query : ")
    assert_close(vector_of(server.embed(" ".join(SENTENCES), task_type="query")), expected)
    assert_close(vector_of(server.embed(" ".join(SENTENCES), prompt_name="query")), expected)


def test_dimensions_cut_the_average(server: Server, model: SentenceTransformer):
    expected = average(model, windows_of(SENTENCES, 30))[:10]
    found = vector_of(server.embed(" ".join(SENTENCES), dimensions=10))
    assert_close(found, expected / np.linalg.norm(expected))


def test_a_text_that_just_fits_is_the_originals(server: Server, model: SentenceTransformer):
    words = " ".join(["river"] * 29 + ["stone"])
    assert_close(vector_of(server.embed(words)), model.encode([words])[0])


def test_the_server_says_what_it_does_with_long_texts(server: Server):
    with server.connect() as connection:
        serving = connection.request("GET", "/meta").json["serving"]
    expected = {
        "version": project_version(),
        "workers": 1,
        "long_text": "chunk",
        "window_tokens": {"text": 32},
        "kernels": None,
    }
    assert serving == expected


def test_long_texts_can_be_cut_off_as_the_original_does(bundle: Path, model: SentenceTransformer, tmp_path: Path):
    with ready(bundle, tmp_path / "log", LONG_TEXT="truncate") as server:
        text = " ".join(SENTENCES)
        assert_close(vector_of(server.embed(text)), model.encode([text])[0])
        assert_close(vector_of(server.embed(text * 1000)), model.encode([text])[0])


def test_long_texts_can_be_refused(bundle: Path, tmp_path: Path):
    with ready(bundle, tmp_path / "log", LONG_TEXT="error") as server:
        refused = server.embed("river " * 31)
        assert refused.status == 400
        expected = "text must have at most 32 tokens, including its prompt and special tokens, but has 33 "
        assert refused.json["error"].startswith(expected)
        assert server.embed("river " * 30).status == 200


def test_a_smaller_window_can_be_set(bundle: Path, model: SentenceTransformer, tmp_path: Path):
    with ready(bundle, tmp_path / "log", MAX_TOKENS="22") as server:
        expected = average(model, windows_of(SENTENCES, 20))
        assert_close(vector_of(server.embed(" ".join(SENTENCES))), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"MAX_TOKENS": "33"}, "MAX_TOKENS must be at most 32, the model's limit, not 33"),
        ({"MAX_TOKENS": "0"}, "MAX_TOKENS must be a whole number from 1 to 1000000, not '0'"),
        ({"MAX_TOKENS": "4"}, "a window has 4 tokens, and the prompt 'query' and special tokens take 4 of them"),
        ({"LONG_TEXT": "split"}, "LONG_TEXT must be chunk, truncate or error, not 'split'"),
    ],
)
def test_a_setting_that_cannot_be_ends_the_start_with_a_sentence(
    bundle: Path, tmp_path: Path, settings: dict[str, str], message: str
):
    with started(bundle, tmp_path / "log", **settings) as server:
        assert server.exit_status() != 0
        assert message in server.output()


def test_a_megabyte_of_text_does_not_hold_up_others(default_bundle: Path, tmp_path: Path):
    """Two at a time, on a server with two inference threads: one window each, in turn with everything else."""
    text = ("The ferry to the island leaves at seven. " * (MEGABYTE // 41))[: MEGABYTE - 200]
    with ready(default_bundle, tmp_path / "log", THREADS="2") as server:
        expected = server.embed("a short text").json["vector"]
        with ThreadPoolExecutor(2) as pool:
            underway = threading.Barrier(3, timeout=PATIENCE)

            def send() -> Answer:
                with server.connect() as connection:
                    body = json.dumps({"text": text}).encode()
                    connection.send(
                        b"POST /vectors HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                    )
                    underway.wait()
                    return connection.answer()

            long = [pool.submit(send) for _ in range(2)]
            underway.wait()
            for _ in range(20):
                assert server.embed("a short text").json["vector"] == expected
            assert not any(future.done() for future in long)
            vectors = [vector_of(future.result(PATIENCE)) for future in long]
    assert (vectors[0] == vectors[1]).all()
    assert abs(np.linalg.norm(vectors[0]) - 1) < 1e-5


@contextmanager
def in_flight(server: Server, texts: list[str]) -> Iterator[list[Connection]]:
    """A connection for each text, on which it was sent and read. The server is killed at the end."""
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in texts]
        _send(connections, texts)
        server.wait_until_read()
        yield connections
    server.kill()


def _send(connections: list[Connection], texts: list[str]) -> None:
    for connection, text in zip(connections, texts, strict=True):
        body = json.dumps({"text": text}).encode()
        connection.send(b"POST /vectors HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize("word", ["x", "GATTACA", "3fa9b07c", "([{}])", "The ferry leaves at seven. "])
def test_a_short_text_is_answered_before_megabytes_of_anything(default_bundle: Path, tmp_path: Path, word: str):
    """Eight at a time on one thread. The first three are hardly a token, after much work."""
    texts = [f"{n} " + word * (MEGABYTE // len(word)) for n in range(8)]
    with ready(default_bundle, tmp_path / "log", THREADS="1") as server:
        expected = server.embed("a short text").json["vector"]
        with in_flight(server, texts) as connections:
            assert server.embed("a short text").json["vector"] == expected
            assert [connection.has_answer() for connection in connections].count(False) > 0


def test_a_text_that_was_not_begun_in_time_is_refused_and_one_that_was_goes_on(default_bundle: Path, tmp_path: Path):
    texts = [f"{n} " + "The ferry to the island leaves at seven. " * 20_000 for n in range(2)]
    with (
        ready(default_bundle, tmp_path / "log", THREADS="1", REQUEST_TIMEOUT="1") as server,
        in_flight(server, texts) as (first, second),
    ):
        refused = second.answer()
        assert refused.status == 503
        assert refused.json == {"error": "the request was not begun within 1 seconds (REQUEST_TIMEOUT)"}
        assert "retry-after" in refused.headers
        assert not first.has_answer()


def cpu_ticks(pid: int) -> int:
    """The time that a process has computed; see proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("enabled", ["0", "1"])
def test_a_recent_text_is_answered_from_memory_where_that_is_wanted(default_bundle: Path, tmp_path: Path, enabled: str):
    text = "The ferry to the island leaves at seven. " * 600
    with ready(default_bundle, tmp_path / "log", ENABLE_CACHE=enabled) as server:
        (worker,) = server.workers()
        times, answers = [cpu_ticks(worker)], []
        for _ in range(2):
            answers.append(server.embed(text).json)
            times.append(cpu_ticks(worker))
    assert answers[0] == answers[1]
    first, second = times[1] - times[0], times[2] - times[1]
    assert (second < first / 4) is (enabled == "1")


def test_the_same_text_has_the_same_bits_at_any_load(default_bundle: Path, tmp_path: Path):
    """Short, long and identical texts, queries and passages, at once, against each by itself."""
    sentence = "The ferry to the island leaves at seven in the morning, and the market opens at noon. "
    items = [(f"text {n}: " + sentence * (n % 7) * (1 + 5 * (n % 5 == 0)), n % 3) for n in range(60)]
    tasks = [{}, {"task_type": "query"}, {"task_type": "passage"}]
    with ready(default_bundle, tmp_path / "log") as server:

        def vector(item: tuple[str, int]) -> list[float]:
            return server.embed(item[0], **tasks[item[1]]).json["vector"]

        alone = [vector(item) for item in items]
        with ThreadPoolExecutor(48) as pool:
            together = list(pool.map(vector, items * 15))
    assert together == alone * 15


def test_inference_has_a_lower_priority_than_the_event_loop(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log") as server:
        server.embed("a text of some length, for which all cores are used: " + "walk " * 100)
        (worker,) = server.workers()
        stats = [(task.name, (task / "stat").read_text()) for task in Path(f"/proc/{worker}/task").iterdir()]
        nice = {int(name): int(stat.rpartition(")")[2].split()[16]) for name, stat in stats}
    own = nice.pop(worker)
    cores = len(os.sched_getaffinity(0))
    lower = [value for value in nice.values() if value > own]
    assert len(lower) >= 2 * cores - 1  # inference threads, and those that onnxruntime adds to one of them
