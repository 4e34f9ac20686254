"""Cuts a row of texts into groups."""

from __future__ import annotations

import math
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


def divide(lengths: Sequence[int], most: int, total: int, threads: int) -> list[tuple[int, int]]:
    """The same in groups of about one length, as many for each of the ``threads``, so that all end together.

    Where texts are longer than ``total``, the groups between them are as ``split`` makes them.
    """
    whole = sum(lengths)
    count = max(math.ceil(len(lengths) / most), math.ceil(whole / total))
    count = min(len(lengths), math.ceil(count / threads) * threads)
    if max(lengths) > total:
        return split(lengths, math.ceil(len(lengths) / count), total)
    groups: list[tuple[int, int]] = []
    start = taken = before = 0
    for index, length in enumerate(lengths):
        # A text belongs to the group in whose share its middle is.
        is_next = before + length / 2 > whole / count * (len(groups) + 1)
        if index > start and (is_next or index - start >= most or taken + length > total):
            groups.append((start, index))
            start, taken = index, 0
        taken, before = taken + length, before + length
    groups.append((start, len(lengths)))
    return groups
