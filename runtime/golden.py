"""Answers the golden requests and compares, before the server reports ready."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from manifest import Golden, GoldenRequest, Tolerance
from runtime.api.endpoint import Endpoint
from runtime.errors import GoldenMismatch, InvalidRequest

SHOWN_CHARACTERS = 80


async def check_golden(golden: Golden, endpoints: Mapping[str, Endpoint[Any]]) -> int:
    """Answer every golden request that is within this server's limits; return their number.

    The first is answered alone and the rest together, so that both ways in which the scheduler runs requests are
    tried. Raises ``GoldenMismatch`` for an answer outside its tolerance or a request that is refused, and
    ``ServingError`` where no answer could be computed.
    """
    checks = [check for entry in golden.requests if (check := _prepare(entry, endpoints)) is not None]
    for group in (checks[:1], checks[1:]):
        await asyncio.gather(*(_check(entry, endpoint, item) for entry, endpoint, item in group))
    return len(checks)


def _prepare(
    entry: GoldenRequest, endpoints: Mapping[str, Endpoint[Any]]
) -> tuple[GoldenRequest, Endpoint[Any], Any] | None:
    """The parsed request; None if it exceeds this server's limits."""
    endpoint = endpoints.get(entry.route)
    if endpoint is None:
        raise GoldenMismatch(f"{_shown(entry)}: this server has no such path: {REBUILD}")
    try:
        item = endpoint.parse(orjson.dumps(entry.body))
    except InvalidRequest as error:
        raise GoldenMismatch(f"{_shown(entry)} is refused: {error}: {REBUILD}") from None
    return (entry, endpoint, item) if endpoint.fits(item) else None


async def _check(entry: GoldenRequest, endpoint: Endpoint[Any], item: Any) -> None:
    answer = orjson.loads(await endpoint.answer(item, deadline=None))
    for field, expected in entry.answer.items():
        if difference := compare(expected, answer.get(field), entry.tolerance):
            raise GoldenMismatch(f"{_shown(entry)}: {field} {difference}: this runtime and this bundle do not match")


def compare(expected: Any, value: Any, tolerance: Tolerance) -> str | None:
    """What is wrong with the ``value`` of an answer's field; None if it is within the tolerance.

    A list of numbers is a vector; lists of vectors are compared one by one, and objects by the expected fields.
    """
    if _is_vector(expected) and tolerance.min_cosine is not None:
        cosine = cosine_of(expected, value) if _is_vector(value) else -1.0
        required = tolerance.min_cosine
        return None if cosine >= required else f"has a cosine of {cosine:.6f} to the original, below {required:.6f}"
    if isinstance(expected, list) and isinstance(value, list) and len(expected) == len(value):
        differences = (compare(*pair, tolerance) for pair in zip(expected, value, strict=True))
        return next(filter(None, differences), None)
    if isinstance(expected, dict) and isinstance(value, dict):
        differences = (compare(part, value.get(name), tolerance) for name, part in expected.items())
        return next(filter(None, differences), None)
    if _is_number(expected) and _is_number(value) and tolerance.max_error is not None:
        error = abs(value - expected)
        return None if error <= tolerance.max_error else f"is {error:g} off, more than {tolerance.max_error:g}"
    return None if type(expected) is type(value) and expected == value else "differs from the original"


def cosine_of(left: list[float], right: list[float]) -> float:
    """The cosine of two vectors in float64; -1 if their lengths differ, 1 if both are zero."""
    if len(left) != len(right):
        return -1.0
    a, b = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norms == 0.0:
        return 1.0 if np.array_equal(a, b) else -1.0
    return float(a @ b) / norms


REBUILD = "rebuild the bundle with quantize.py"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_number, value))


def _shown(entry: GoldenRequest) -> str:
    body = orjson.dumps(entry.body).decode()
    return (
        f"the golden request {entry.route} {body if len(body) <= SHOWN_CHARACTERS else body[:SHOWN_CHARACTERS] + '…'}"
    )
