"""The loads of text embedding models."""

from __future__ import annotations

from bench.load.batches import batch_loads
from bench.load.loads import MAX_WORDS_PER_SECOND, Group, Load
from bench.load.modules import Module
from bench.load.texts import EIGHT_KB, LONG, SHORT

TEXT_LOADS = (
    *(Load(SHORT, count) for count in (1, 8, 32, 160)),
    *(Load(LONG, count) for count in (1, 8, 32)),
    Load(SHORT, 32, Group.SLOW, 2),
    *(
        Load(SHORT, count, Group.WEAVIATE, times)
        for count, times in ((1, 1), (8, 1), (32, 1), (160, 2), (640, 4), (3200, 6))
    ),
    *(Load(EIGHT_KB, count, Group.WEAVIATE, times) for count, times in ((1, 2), (8, 2), (32, 5), (160, 12))),
    *(Load(EIGHT_KB, count, Group.OVERLOAD, 25) for count in (640, 3200)),
    Load(SHORT, 160, Group.RESTART, 7),
    *batch_loads(Module.TEXT2VEC_TRANSFORMERS, MAX_WORDS_PER_SECOND),
)
