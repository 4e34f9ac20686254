"""Figures of several workers, added up and written so that the official client reads them."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from runtime.metrics.board import Board
from runtime.metrics.exposition import exposition, sample, single
from runtime.metrics.http_figures import HttpFigures
from runtime.metrics.layout import GAUGES, HISTOGRAM_NUMBERS, ROUTE_NUMBERS, ROUTES_START, SECONDS, observe, observe_all
from runtime.metrics.work_figures import WorkFigures

PATHS = ("/vectors", "/meta")


def read(lines: Iterable[str]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample, by its name and labels, as the official client reads them."""
    families = text_string_to_metric_families("".join(f"{line}\n" for line in lines))
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value for family in families for each in family.samples
    }


def figures_of(board: Board, worker: int) -> HttpFigures:
    figures = HttpFigures(board.row(worker))
    figures.name_routes(PATHS)
    return figures


def test_requests_of_all_workers_are_added_by_route_and_status():
    board = Board(2)
    one, other = figures_of(board, 0), figures_of(board, 1)
    one.answered("/vectors", 200, 0.002)
    other.answered("//vectors/", 200, 0.002)
    other.answered("/vectors", 503, 70.0)
    other.answered("/wp-admin", 404, 0.001)
    other.answered("/vectors", 0, 1.0)
    one.publish()
    other.publish()
    samples = read(exposition(board, one.routes))
    assert samples["cpu2vec_requests_total", (("route", "/vectors"), ("status", "200"))] == 2
    assert samples["cpu2vec_requests_total", (("route", "/vectors"), ("status", "503"))] == 1
    assert samples["cpu2vec_requests_total", (("route", "other"), ("status", "404"))] == 1
    assert samples["cpu2vec_requests_cancelled_total", ()] == 1
    route = ("route", "/vectors")
    assert samples["cpu2vec_request_seconds_count", (route,)] == 3
    assert samples["cpu2vec_request_seconds_sum", (route,)] == pytest.approx(70.004)
    assert samples["cpu2vec_request_seconds_bucket", (("le", "0.001"), route)] == 0
    assert samples["cpu2vec_request_seconds_bucket", (("le", "0.0025"), route)] == 2
    assert samples["cpu2vec_request_seconds_bucket", (("le", "60.0"), route)] == 2
    assert samples["cpu2vec_request_seconds_bucket", (("le", "+Inf"), route)] == 3


def test_a_time_at_a_bound_is_in_its_class():
    board = Board(1)
    figures = figures_of(board, 0)
    figures.answered("/meta", 200, SECONDS[2])
    figures.publish()
    samples = read(exposition(board, ("other", *PATHS)))
    assert samples["cpu2vec_request_seconds_bucket", (("le", repr(SECONDS[1])), ("route", "/meta"))] == 0
    assert samples["cpu2vec_request_seconds_bucket", (("le", repr(SECONDS[2])), ("route", "/meta"))] == 1


@given(st.lists(st.sampled_from(SECONDS) | st.floats(0, 100)))
def test_times_that_are_counted_together_are_in_the_classes_that_each_has_alone(seconds: list[float]):
    one_by_one, together = ([1.0] * (HISTOGRAM_NUMBERS + 2) for _ in range(2))
    for each in seconds:
        observe(one_by_one, 1, each)
    observe_all(together, 1, seconds.copy())
    assert together == pytest.approx(one_by_one)


def test_what_was_published_is_not_counted_again():
    board, work = Board(1), WorkFigures()
    figures = figures_of(board, 0)
    figures.publish_also(work.publish)
    work.open(board.row(0))
    for seconds in (0.1, 0.2):
        work.computed(tokens=3)
        figures.answered("/vectors", 200, seconds)
        figures.publish()
        figures.publish()
    samples = read(exposition(board, figures.routes))
    assert samples["cpu2vec_requests_total", (("route", "/vectors"), ("status", "200"))] == 2
    assert samples["cpu2vec_request_seconds_sum", (("route", "/vectors"),)] == pytest.approx(0.3)
    assert (samples["cpu2vec_texts_total", ()], samples["cpu2vec_tokens_total", ()]) == (2, 6)


def test_no_text_is_lost_that_is_counted_while_others_are_published():
    board, work = Board(1), WorkFigures()
    work.open(board.row(0))
    threads = [threading.Thread(target=lambda: [work.computed(tokens=2) for _ in range(5000)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        work.publish()
    work.publish()
    samples = read(exposition(board, ("other",)))
    assert (samples["cpu2vec_texts_total", ()], samples["cpu2vec_tokens_total", ()]) == (10_000, 20_000)


def test_counters_of_a_worker_that_ended_stay_and_its_gauges_do_not():
    board = Board(2)
    figures = figures_of(board, 1)
    figures.answered("/meta", 200, 0.1)
    figures.requests = 3
    figures.sample(connections=5, bodies_waiting=1)
    figures.publish()
    assert read(exposition(board, figures.routes))["cpu2vec_requests_in_flight", ()] == 3
    board.clear(1)
    board.count_restart()
    samples = read(exposition(board, figures.routes))
    assert [samples[gauge.name, ()] for gauge in GAUGES] == [0] * len(GAUGES)
    assert samples["cpu2vec_worker_restarts_total", ()] == 1
    successor = figures_of(board, 1)
    successor.answered("/meta", 200, 0.1)
    successor.publish()
    samples = read(exposition(board, figures.routes))
    assert samples["cpu2vec_requests_total", (("route", "/meta"), ("status", "200"))] == 2


def test_work_counts_from_the_moment_at_which_it_is_opened():
    board, work = Board(1), WorkFigures()
    work.computed(tokens=7)
    work.open(board.row(0))
    work.computed(tokens=1000, windows=2)
    work.computed(tokens=512, truncated=True)
    work.computed(tokens=70, texts=3)
    work.queued()
    work.queued()
    work.queued()
    work.taken(0.2)
    work.dropped()
    work.ran(0.03)
    work.coalesced()
    work.missed()
    work.looked_up(True)
    work.looked_up(False)
    with work.pending(characters=400):
        work.publish()
        samples = read(exposition(board, ("other",)))
    expected = {
        "cpu2vec_texts_total": 5,
        "cpu2vec_tokens_total": 1582,
        "cpu2vec_texts_chunked_total": 1,
        "cpu2vec_texts_truncated_total": 1,
        "cpu2vec_queue_jobs": 1,
        "cpu2vec_queue_seconds_count": 1,
        "cpu2vec_inference_seconds_sum": 0.03,
        "cpu2vec_texts_coalesced_total": 1,
        "cpu2vec_deadline_misses_total": 1,
        "cpu2vec_cache_hits_total": 1,
        "cpu2vec_cache_misses_total": 1,
        "cpu2vec_pending_texts": 1,
        "cpu2vec_pending_tokens": 101,
    }
    assert {name: samples[name, ()] for name in expected} == expected
    work.publish()
    assert read(exposition(board, ("other",)))["cpu2vec_pending_texts", ()] == 0


def test_nothing_is_shown_before_it_is_published_and_what_belongs_together_at_once():
    board, work = Board(1), WorkFigures()
    figures = figures_of(board, 0)
    figures.publish_also(work.publish)
    work.open(board.row(0))
    work.computed(tokens=3)
    figures.answered("/vectors", 200, 0.1)
    names = [("cpu2vec_texts_total", ()), ("cpu2vec_request_seconds_count", (("route", "/vectors"),))]
    before = read(exposition(board, figures.routes))
    figures.publish()
    after = read(exposition(board, figures.routes))
    assert [(before[name], after[name]) for name in names] == [(0, 1), (0, 1)]


def test_a_successor_goes_on_from_the_counters_of_work():
    board = Board(1)
    for _ in range(2):
        work = WorkFigures()
        work.open(board.row(0))
        work.computed(tokens=3)
        work.publish()
    samples = read(exposition(board, ("other",)))
    assert (samples["cpu2vec_texts_total", ()], samples["cpu2vec_tokens_total", ()]) == (2, 6)


def test_every_figure_has_a_place_of_its_own():
    board, work = Board(1), WorkFigures()
    work.open(board.row(0))
    work.ran(100.0)
    work.taken(100.0)
    figures = figures_of(board, 0)
    figures.answered("/vectors", 511, 100.0)
    figures.publish()
    work.publish()
    samples = read(exposition(board, figures.routes))
    assert samples["cpu2vec_request_seconds_sum", (("route", "/meta"),)] == 0
    assert samples["cpu2vec_queue_seconds_sum", ()] == samples["cpu2vec_inference_seconds_sum", ()] == 100.0
    assert samples["cpu2vec_requests_total", (("route", "/vectors"), ("status", "511"))] == 1


def test_more_routes_than_there_is_room_for_are_refused():
    row = Board(1).row(0)
    room = (len(row) - ROUTES_START) // ROUTE_NUMBERS
    HttpFigures(row).name_routes([f"/{number}" for number in range(room - 1)])
    with pytest.raises(ValueError, match=f"room for {room} routes"):
        HttpFigures(row).name_routes([f"/{number}" for number in range(room)])


def test_labels_may_hold_any_characters():
    info = {"model": 'a "quoted" \\ name\nof two lines'}
    assert read(single("cpu2vec_info", "What is served.", "gauge", 1, info)) == {
        ("cpu2vec_info", (("model", info["model"]),)): 1
    }
    assert sample("a", 0.5, {}) == "a 0.5"
