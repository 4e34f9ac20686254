"""Cuts a row of texts into groups."""

from __future__ import annotations

from collections.abc import Sequence


def split(lengths: Sequence[int], most: int, total: int) -> list[tuple[int, int]]:
    """Groups of texts of these lengths, as (start, end): up to ``most`` texts in each, of ``total`` length.

    A text that is longer is alone in its group. There must be a text.
    """
    groups, start, taken = [], 0, 0
    for index, length in enumerate(lengths):
        if index > start and (index - start >= most or taken + length > total):
            groups.append((start, index))
            start, taken = index, 0
        taken += length
    groups.append((start, len(lengths)))
    return groups
