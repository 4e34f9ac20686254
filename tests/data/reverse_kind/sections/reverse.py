"""The section of models that reverse texts."""

from __future__ import annotations

from dataclasses import dataclass

from sections.base import require_positive


@dataclass(frozen=True)
class ReverseModel:
    """The longest text that is reversed."""

    max_characters: int

    def files(self) -> set[str]:
        return set()

    def check(self) -> None:
        require_positive("reverse.max_characters", self.max_characters)
