"""The loads of static models."""

from __future__ import annotations

from bench.load.batches import batch_loads
from bench.load.loads import Group, Load
from bench.load.modules import Module
from bench.load.texts import LONG, SHORT

MAX_WORDS_PER_SECOND = 600_000
"""A table is that much faster than a network."""

STATIC_LOADS = (
    *(
        Load(length, count, group, max_words_per_second=MAX_WORDS_PER_SECOND, module=Module.TEXT2VEC_MODEL2VEC)
        for group in (Group.KEPT, Group.WEAVIATE)
        for length in (SHORT, LONG)
        for count in (1, 8, 32, 160)
    ),
    *batch_loads(Module.TEXT2VEC_MODEL2VEC, MAX_WORDS_PER_SECOND),
)
