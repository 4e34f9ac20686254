"""Where each figure is in a worker's row, with the name, help and kind that Prometheus is told."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the classes of histograms: from a static model's short text to the usual deadline."""

HISTOGRAM_NUMBERS = len(SECONDS) + 2
"""A count for each class, the one above the last bound, and the sum."""

SUM = len(SECONDS) + 1


def observe(numbers: list[float], start: int, seconds: float) -> None:
    """Add a measurement to the histogram that starts there."""
    numbers[start + bisect_left(SECONDS, seconds)] += 1
    numbers[start + SUM] += seconds


def observe_all(numbers: list[float], start: int, seconds: list[float]) -> None:
    """Add measurements to the histogram that starts there. Sorts them."""
    seconds.sort()
    below = 0
    for number, bound in enumerate(SECONDS, start):
        count = bisect_right(seconds, bound, below)
        numbers[number] += count - below
        below = count
    numbers[start + len(SECONDS)] += len(seconds) - below
    numbers[start + SUM] += sum(seconds)


@dataclass(frozen=True)
class Figure:
    """A number of a worker. Those of all workers are added."""

    name: str
    help: str
    start: int
    kind: str = "counter"


@dataclass(frozen=True)
class Histogram:
    """Measured seconds, by class."""

    name: str
    help: str
    start: int


PROCESS = 0
"""The process id of the worker in this row; 0: there is none."""

IN_FLIGHT = Figure("cpu2vec_requests_in_flight", "Requests in progress, probes and scrapes left out.", 1, "gauge")
CONNECTIONS = Figure("cpu2vec_connections", "Open connections.", 2, "gauge")
BODIES_WAITING = Figure("cpu2vec_bodies_waiting", "Request bodies that wait for memory.", 3, "gauge")
PENDING = Figure("cpu2vec_pending_texts", "Texts that wait or are computed.", 4, "gauge")
PENDING_TOKENS = Figure(
    "cpu2vec_pending_tokens", "Tokens of the texts that wait or are computed, estimated by their length.", 5, "gauge"
)
QUEUED = Figure("cpu2vec_queue_jobs", "Jobs that no inference thread has begun yet.", 6, "gauge")
GAUGES = (IN_FLIGHT, CONNECTIONS, BODIES_WAITING, PENDING, PENDING_TOKENS, QUEUED)

CANCELLED = Figure("cpu2vec_requests_cancelled_total", "Requests whose client left before the answer.", 10)
REFUSED = Figure("cpu2vec_requests_malformed_total", "What arrived and was no request of HTTP/1.1.", 11)
TEXTS = Figure("cpu2vec_texts_total", "Texts, or pairs of a query and a document, that were computed.", 12)
TOKENS = Figure("cpu2vec_tokens_total", "Tokens that were computed, with special tokens and prompts.", 13)
CHUNKED = Figure("cpu2vec_texts_chunked_total", "Texts of more than one window.", 14)
TRUNCATED = Figure("cpu2vec_texts_truncated_total", "Texts of which the end was ignored.", 15)
COALESCED = Figure("cpu2vec_texts_coalesced_total", "Texts that shared the result of an identical one in flight.", 16)
MISSED = Figure("cpu2vec_deadline_misses_total", "Requests that were not begun within REQUEST_TIMEOUT.", 17)
CACHE_HITS = Figure("cpu2vec_cache_hits_total", "Texts answered from memory (ENABLE_CACHE).", 18)
CACHE_MISSES = Figure("cpu2vec_cache_misses_total", "Texts that were not in memory (ENABLE_CACHE).", 19)
COUNTERS = (
    CANCELLED, REFUSED, TEXTS, TOKENS, CHUNKED, TRUNCATED, COALESCED, MISSED, CACHE_HITS, CACHE_MISSES,
)  # fmt: skip

QUEUE_SECONDS = Histogram("cpu2vec_queue_seconds", "Time until an inference thread took a job.", 32)
RUN_SECONDS = Histogram(
    "cpu2vec_inference_seconds", "Time of a run of the model, which several short texts may share.", 64
)
HISTOGRAMS = (QUEUE_SECONDS, RUN_SECONDS)

WORK_START, WORK_END = TEXTS.start, RUN_SECONDS.start + HISTOGRAM_NUMBERS
"""What ``WorkFigures`` counts lies between."""

ROUTES_START = 128
"""From here on, a block for each route: a histogram of its latency, then a count for each status."""

STATUS_OFFSET = 32
FIRST_STATUS, LAST_STATUS = 200, 511
STATUSES = LAST_STATUS - FIRST_STATUS + 1
ROUTE_NUMBERS = STATUS_OFFSET + STATUSES + 8
MOST_ROUTES = 24
"""A text model's server has 16, and no other kind has more."""
NUMBERS = ROUTES_START + MOST_ROUTES * ROUTE_NUMBERS
"""Of a worker. Memory is taken by the page, as figures are written."""

REQUESTS = "cpu2vec_requests_total"
LATENCY = "cpu2vec_request_seconds"
OTHER_ROUTE = "other"
"""What all paths are called that the server does not have."""
