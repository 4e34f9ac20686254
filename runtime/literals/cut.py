"""A parsed value without its long strings, for which others stand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from runtime.literals.contents import Contents
from runtime.literals.long_string import LongString
from runtime.literals.scan import Places

DIGITS = 12
"""Of a long string's number, with which what stands for it ends."""


class Cut:
    """A value of which other strings stand for the long ones: all of one length, which no string has that was left.

    The long ones are counted in the order of the body.
    """

    def __init__(
        self, value: Any, body: bytes, begins: Places, ends: Places, contents: Contents, longest_left: int
    ) -> None:
        """``begins``, ``ends``: of the literals of the long strings, without their quotes."""
        self.value, self._longest_left = value, longest_left
        self._body, self._begins, self._ends, self._contents = body, begins, ends, contents

    @classmethod
    def whole(cls, value: Any, longest: int) -> Cut:
        """A value of which nothing was cut, and no string is longer than that."""
        nowhere = np.empty(0, np.int64)
        return cls(value, b"", nowhere, nowhere, Contents(), longest)

    def original(self, item: Any) -> Any:
        """The long string that the item stands for, or the item itself."""
        if isinstance(item, str) and len(item) > self._longest_left:
            number = _number(item)
            return LongString(self._body, int(self._begins[number]), int(self._ends[number]), self._contents)
        return item

    def originals(self, items: list[str]) -> Sequence[str | LongString]:
        """The same for each item of a list in the value."""
        return Originals(self, items) if len(self._begins) else tuple(items)

    def sizes(self, items: list[str]) -> tuple[int, int]:
        """As ``sizes_of``, for a list in the value."""
        left = [item for item in items if len(item) <= self._longest_left]
        copied, length = sizes_of(left)
        count = len(items) - len(left)
        if count:
            # Nothing but strings of this list is between its first and its last one, so that they count on.
            first = _number(next(item for item in items if len(item) > self._longest_left))
            length += int((self._ends[first : first + count] - self._begins[first : first + count]).sum())
        return copied, length


class Originals(Sequence[str | LongString]):
    """The strings of a list. Long ones are made when they are asked for: there may be tens of thousands."""

    def __init__(self, cut: Cut, items: list[str]) -> None:
        self._cut, self._items = cut, items

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> str | LongString: ...
    @overload
    def __getitem__(self, index: slice) -> list[str | LongString]: ...
    def __getitem__(self, index: int | slice) -> str | LongString | list[str | LongString]:
        if isinstance(index, slice):
            return [self._cut.original(item) for item in self._items[index]]
        string: str | LongString = self._cut.original(self._items[index])
        return string

    def sizes(self) -> tuple[int, int]:
        return self._cut.sizes(self._items)


def sizes_of(strings: Sequence[Any]) -> tuple[int, int]:
    """Bytes of memory that strings have for themselves, and the length of all, in bytes for long ones."""
    if isinstance(strings, Originals):
        return strings.sizes()
    return sum(map(sys.getsizeof, strings)), sum(map(len, strings))


def stand_ins(first: int, count: int, length: int) -> list[bytes]:
    """The literals of so many strings of that length, which stand for those from number ``first`` on."""
    text = np.full((count, length), ord("0"), np.uint8)
    numbers = np.arange(first, first + count)
    for column in range(1, DIGITS + 1):
        text[:, -column] += (numbers % 10).astype(np.uint8)
        numbers //= 10
    literals: list[bytes] = text.view(f"S{length}").ravel().tolist()
    return literals


def _number(stand_in: str) -> int:
    return int(stand_in[-DIGITS:])
