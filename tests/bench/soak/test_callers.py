"""Those who ask during a soak, against a server without a model that answers as each test says."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InvalidOption, LoadFailed
from bench.load.exchange import Loss
from bench.load.texts import words
from bench.load.wire import Request
from bench.server.process import free_port
from bench.soak.callers import crowd
from bench.soak.callers.crowd import Caller
from bench.soak.callers.load import Callers
from bench.soak.callers.probes import SAMPLED, ProbedVectors, Probes, cosine_of, known_answers, requests
from bench.soak.callers.texts import LONGEST_BYTES, SHORTEST_BYTES, endless_texts, log_uniform, text_of
from bench.soak.plan import Plan
from manifest import GOLDEN_FILE, Golden, GoldenRequest, Tolerance, to_json
from tests.support.server.server_process import wait_until
from tests.support.server.stub_container import Handler, Reply, send, serving
from tests.support.server.stub_server import DIM, embedding, stub_vector

PLAN = Plan(seconds=600, restart_seconds=600, in_flight=4, leavers=4, slow=4, max_requests=1_000_000)
ANSWER = embedding()
GOLDEN_TEXT = "图书馆"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A directory with what a soak reads of a bundle."""
    vector = [2 * component for component in stub_vector(GOLDEN_TEXT)]
    write_golden(tmp_path, GoldenRequest("/vectors", {"text": GOLDEN_TEXT}, {"vector": vector}, Tolerance(0.999)))
    return tmp_path


def write_golden(bundle: Path, *entries: GoldenRequest) -> None:
    (bundle / GOLDEN_FILE).write_text(to_json(Golden(entries)))


@contextmanager
def stub(reply: Reply = ANSWER) -> Iterator[int]:
    with serving(reply) as (address, _):
        yield port_of(address)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.fixture
def probes(bundle: Path) -> Probes:
    with stub() as port:
        return known_answers(bundle, port, "test")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "SLOW_PAUSE", 0.001)
    monkeypatch.setattr(crowd, "LEAVE_SECONDS", 0.001)
    monkeypatch.setattr(crowd, "REST_SECONDS", 0.001)
    monkeypatch.setattr(crowd, "LOOK_SECONDS", 0.001)


class TestTexts:
    @given(size=st.integers(SHORTEST_BYTES, 3000), seed=st.integers())
    def test_have_their_size_and_nothing_that_json_escapes(self, size: int, seed: int):
        text = text_of(size, random.Random(seed), words())
        assert len(text.encode()) == size
        assert json.dumps(text) == f'"{text}"'
        assert text == text.strip()

    @given(seed=st.integers())
    def test_lengths_are_within_bounds(self, seed: int):
        assert SHORTEST_BYTES <= log_uniform(random.Random(seed)) <= LONGEST_BYTES

    def test_each_factor_of_length_is_as_frequent_as_the_next(self):
        """Of 20,000 lengths, a fifth of the logarithms' range has a fifth, with five standard errors."""
        source = random.Random(1)
        span = math.log(LONGEST_BYTES / SHORTEST_BYTES)
        logs = (math.log(log_uniform(source) / SHORTEST_BYTES) / span for _ in range(20_000))
        counts = Counter(min(4, int(5 * value)) for value in logs)
        assert all(
            abs(counts[fifth] - 4000) < 5 * math.sqrt(20_000 * 0.2 * 0.8) + 400 * (fifth == 0) for fifth in range(5)
        )

    def test_are_the_same_for_the_same_seed(self):
        first, second = (list(itertools.islice(endless_texts("one"), 20)) for _ in range(2))
        assert first == second
        assert first != list(itertools.islice(endless_texts("two"), 20))


class TestProbes:
    def test_are_the_golden_ones_and_some_of_all_lengths(self, probes: Probes):
        assert probes.dim == DIM
        golden, *others = probes.sample
        assert (golden.text, golden.min_cosine) == (GOLDEN_TEXT, 0.999)
        assert len(others) == 64
        assert all(probe.expected == tuple(np.float32(stub_vector(probe.text)).tolist()) for probe in others)
        assert len(probes.large.text) == 1_000_000

    def test_a_bundle_without_vectors_is_refused(self, bundle: Path):
        write_golden(bundle, GoldenRequest("/rerank", {"query": ""}, {"scores": []}, Tolerance()))
        with stub() as port, pytest.raises(InvalidOption, match="must answer /vectors"):
            known_answers(bundle, port, "test")

    def test_the_numbers_must_be_those_of_before(self, probes: Probes):
        probe = probes.sample[-1]
        assert probe.fault(probe.expected) is None
        wrong = [*probe.expected[:-1], probe.expected[-1] + 1e-5]
        assert "1e-05 off" in str(probe.fault(wrong))
        assert "has 7 components, not 8" in str(probe.fault(probe.expected[1:]))

    def test_the_cosine_to_the_original_must_be_that_of_the_bundle(self, probes: Probes):
        golden = probes.sample[0]
        assert golden.fault(stub_vector(GOLDEN_TEXT)) is None  # half of it
        assert "below 0.999000" in str(golden.fault([-component for component in golden.expected]))

    def test_one_in_eight_requests_is_one(self, probes: Probes):
        sampled = {id(probe.request) for probe in probes.sample}
        made = list(itertools.islice(requests(probes, 0, "test"), 4000))
        share = sum(id(request) in sampled for request in made) / len(made)
        assert share == pytest.approx(SAMPLED, abs=0.03)

    def test_an_answer_of_the_right_frame_and_wrong_numbers_is_found(self, probes: Probes):
        route, probe = ProbedVectors(probes), probes.sample[-1]
        body = {"text": probe.text, "vector": list(probe.expected), "dim": DIM}
        route.check(response(body), probe.request)
        body["vector"][0] += 1e-3
        with pytest.raises(LoadFailed, match="a component is 0.001 off"):
            route.check(response(body), probe.request)
        assert route.compared == 2
        route.check(response(body), Request(probe.request.echo, probe.request.wire))
        assert route.compared == 2

    @pytest.mark.parametrize(
        ("left", "right", "cosine"),
        [([1, 0], [2, 0], 1), ([1, 0], [0, 3], 0), ([1, 1], [-1, -1], -1), ([0, 0], [0, 0], 1), ([0, 0], [1, 0], 0)],
    )
    def test_cosines(self, left, right, cosine):
        assert cosine_of(left, right) == pytest.approx(cosine)


def response(body: object) -> bytes:
    text = json.dumps(body, separators=(",", ":")).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


class Loaded:
    """Callers of a server that replies so, until each kind of them was answered, or ``enough``."""

    def __init__(self, probes: Probes, reply: Reply = ANSWER, enough=None) -> None:
        with stub(reply) as port:
            self.callers = Callers(port, PLAN, dataclasses.replace(probes, large_seconds=0.0))
            self.callers.start()
            try:
                wait_until(lambda: (enough or self._all_answered)(self), "the answers do not come", self._describe)
            finally:
                self.callers.stop()
        self.tally, self.crowd = self.callers.loop.tally, self.callers.crowd.tally

    def _all_answered(self, _: Loaded) -> bool:
        answered = self.callers.crowd.tally.answered
        kinds = (Caller.LARGE, Caller.SENDER, Caller.READER)
        return all(answered[kind] >= 2 for kind in kinds) and self.callers.crowd.tally.left >= 10

    def _describe(self) -> str:
        return f"{self.callers.crowd.tally}, {self.callers.loop.tally.lost}"


class TestCallers:
    def test_all_are_answered_and_none_who_left_is_missed(self, probes: Probes):
        loaded = Loaded(probes)
        assert loaded.callers.losses == []
        assert loaded.callers.first_wrong == ""
        assert loaded.tally.sent == loaded.tally.answers > 0
        for kind in (Caller.LARGE, Caller.SENDER, Caller.READER):
            assert loaded.crowd.sent[kind] == loaded.crowd.answered[kind] >= 2
        assert loaded.crowd.left == loaded.crowd.sent[Caller.LEAVER]
        assert len(loaded.crowd.large_seconds) == loaded.crowd.answered[Caller.LARGE]
        assert loaded.callers.compared > 0

    def test_what_is_not_answered_is_lost_by_its_reason(self, probes: Probes):
        def reply(handler: Handler, number: int) -> None:
            if number % 3 == 0:
                send(handler, 503, b"")
            elif number % 3 == 1:
                handler.close_connection = True
            else:
                ANSWER(handler, number)

        def enough(loaded: Loaded) -> bool:
            seen = {(loss.caller, loss.reason) for loss in loaded.callers.losses}
            return seen >= set(itertools.product(list(Caller)[:4], ("status 503", Loss.CLOSED)))

        losses = Loaded(probes, reply, enough).callers.losses
        assert losses == sorted(losses, key=lambda loss: loss.at)
        assert {loss.caller for loss in losses} == set(list(Caller)[:4])
        assert {loss.reason for loss in losses} == {"status 503", Loss.CLOSED}

    def test_wrong_numbers_are_found_in_every_kind_of_answer(self, probes: Probes):
        def reply(handler: Handler, number: int) -> None:
            text = json.loads(handler.body)["text"]
            vector = [component + 0.01 for component in stub_vector(text)]
            answer = {"text": text, "vector": vector, "dim": DIM}
            send(handler, 200, json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode())

        def enough(loaded: Loaded) -> bool:
            return {loss.caller for loss in loaded.callers.losses} >= set(list(Caller)[:4])

        loaded = Loaded(probes, reply, enough)
        assert {loss.reason for loss in loaded.callers.losses} == {Loss.WRONG}
        assert "off what it was before" in loaded.callers.first_wrong

    def test_a_port_without_a_server_refuses_all(self, probes: Probes):
        callers = Callers(free_port(), PLAN, dataclasses.replace(probes, large_seconds=0.0))
        callers.start()
        wait_until(lambda: {loss.caller for loss in callers.losses} == set(Caller), "not all are refused")
        callers.stop()
        assert {loss.reason for loss in callers.losses} == {Loss.REFUSED}

    def test_they_go_where_they_are_sent(self, probes: Probes):
        with serving(ANSWER) as (first, before), serving(ANSWER) as (second, after):
            callers = Callers(port_of(first), PLAN, dataclasses.replace(probes, large_seconds=0.0))
            callers.start()
            wait_until(lambda: before.paths, "nobody calls")
            callers.redirect(port_of(second))
            wait_until(lambda: len(after.paths) > 50, "they do not follow")
            callers.stop()
        assert callers.losses == []

    @pytest.mark.parametrize(("seconds", "begins"), [(PLAN.seconds, True), (0.0, False)])
    def test_a_megabyte_begins_at_first_however_slow_and_never_at_the_end(
        self, probes: Probes, seconds: float, begins: bool
    ):
        slow = dataclasses.replace(probes, large_seconds=PLAN.seconds)
        with stub() as port:
            callers = Callers(port, dataclasses.replace(PLAN, seconds=seconds), slow)
            callers.start()
            wait_until(lambda: callers.crowd.tally.left >= 10, "nobody leaves")
            callers.stop()
        assert (callers.crowd.tally.sent[Caller.LARGE] > 0) == begins

    def test_they_end_after_as_many_requests_as_they_may_send(self, probes: Probes):
        with stub() as port:
            callers = Callers(port, dataclasses.replace(PLAN, max_requests=20), probes)
            callers.start()
            wait_until(lambda: callers.has_ended, "they go on")
            callers.stop()
        assert callers.loop.tally.sent == callers.loop.tally.answers == 20
