"""How long a group of texts takes, as it is estimated before its texts are tokenized."""

from __future__ import annotations

import pytest

from runtime.batches.request import Group
from runtime.kinds.text import steps_of


@pytest.mark.parametrize(
    ("texts", "characters", "steps"), [(1, 20, 1), (11, 40, 1), (12, 5, 2), (32, 20, 3), (25, 80, 5), (1, 2000, 5)]
)
def test_the_steps_of_a_group_are_estimated_by_its_texts_and_its_characters(texts: int, characters: int, steps: int):
    assert steps_of(Group(["a" * characters] * texts, ["name"] * texts, None)) == steps
