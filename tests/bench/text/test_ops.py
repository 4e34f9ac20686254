"""The ops of texts without a server, as a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import SetupFailed
from bench.load.loads import Group, Load, loads_in
from bench.load.texts import SHORT
from bench.text.loads import TEXT_LOADS
from bench.text.ops import milliseconds_of, ops_milliseconds, texts_per_run
from tests.support.server.stub_server import MODEL


@pytest.mark.parametrize("texts_per_run", [1, 1000])
def test_they_take_some_time_alone_and_together(default_bundle: Path, texts_per_run: int):
    assert milliseconds_of(default_bundle, SHORT, texts_per_run) > 0


def test_what_is_no_bundle_is_one_line(tmp_path: Path):
    with pytest.raises(SetupFailed, match="the ops cannot be run alone: .*manifest.json"):
        milliseconds_of(tmp_path, SHORT, 1)


@pytest.mark.parametrize(("in_flight", "cores", "texts"), [(1, 2, 1), (8, 2, 4), (9, 2, 5), (160, 16, 10)])
def test_a_run_has_a_threads_share_of_the_texts(in_flight: int, cores: int, texts: int):
    assert texts_per_run(Load(SHORT, in_flight), cores) == texts


def test_a_run_has_a_threads_share_of_the_texts_of_batches():
    assert texts_per_run(Load(SHORT, 4, Group.BATCHES, texts=32), 2) == 64


def test_loads_that_lose_requests_have_no_such_figure():
    others = loads_in(TEXT_LOADS, set(Group) - {Group.KEPT, Group.BATCHES})
    assert {ops_milliseconds(MODEL, load, 2) for load in others} == {None}
