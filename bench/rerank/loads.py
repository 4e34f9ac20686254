"""The loads of rerankers: Weaviate sends 32 documents in a request, and several requests at once."""

from __future__ import annotations

from bench.load.loads import Group, Load
from bench.load.modules import Module
from bench.load.texts import Length

DOCUMENTS = 32
"""So many has each request, as Weaviate cuts what a search has found."""

PASSAGES = Length("documents", 60, 120, f"{DOCUMENTS} documents of 60–120 words")


def _load(in_flight: int, group: Group, times: float, requests: int) -> Load:
    return Load(PASSAGES, in_flight, group, times, module=Module.RERANKER_TRANSFORMERS, requests=requests)


SMALL_LOADS = tuple(
    _load(in_flight, group, times, requests)
    for group in (Group.KEPT, Group.WEAVIATE)
    for in_flight, times, requests in ((1, 3, 12), (8, 4, 24), (32, 6, 32))
)
"""The times are for a container that takes half a second for a request; what is faster ends sooner."""

BASE_LOADS = tuple(
    _load(in_flight, group, times, requests)
    for group in (Group.KEPT, Group.WEAVIATE)
    for in_flight, times, requests in ((1, 10, 4), (8, 12, 8))
)
"""Of a model that takes seconds for a request. NOTE: of 32 in flight, the container would answer some after 50 s, when
their callers have given up."""
