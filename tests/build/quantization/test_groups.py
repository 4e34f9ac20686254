"""Groups of channels that share a scale: few, full, and whole tiles."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from build.quantization.groups import GROUP_MULTIPLE, MAX_GROUP_SIZE, channel_groups


@given(k=st.integers(1, 5000))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_groups_are_as_few_as_can_be_and_all_but_the_last_are_whole_tiles(k):
    groups = channel_groups(k)
    assert sum(groups) == k
    assert len(groups) == -(-k // MAX_GROUP_SIZE)
    assert min(groups) >= 1
    assert max(groups) <= MAX_GROUP_SIZE
    assert len(set(groups[:-1])) <= 1
    assert all(size % GROUP_MULTIPLE == 0 for size in groups[:-1])
