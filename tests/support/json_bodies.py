"""JSON objects of all sorts, and generators that return something."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from hypothesis import strategies as st

Result = TypeVar("Result")

strings = st.text(st.sampled_from('a"\\/\n,[]{}:é😀')) | st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    strings | st.integers(-(2**53), 2**53) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(strings, values, max_size=4)


def drained(steps: Generator[None, None, Result]) -> Result:
    """What the generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
