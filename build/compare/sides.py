"""The new side of a comparison: a container that runs, or a bundle that is served for the duration of it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from build.compare.client import RERANK, VECTORIZE, VECTORS, Container, connect
from build.errors import ContainerRefused
from build.fidelity.client import VectorsClient
from build.fidelity.runtime_process import serve
from build.progress import Progress
from manifest import Kind, Manifest, read_manifest

NewSide = Container | Path
"""A running container, or the directory of a bundle."""

NOT_EXPLAINED = "why they differ was not looked for: give the new bundle in place of its address to find out"
"""Hypotheses are tried on a bundle, which an address alone is not."""

ROUTES_OF_KINDS = {Kind.RERANK: RERANK, Kind.CLIP: VECTORIZE}
"""All other kinds are compared by the vectors of single texts."""

PROBES: Mapping[str, Mapping[str, Any]] = {
    RERANK: {"query": "a", "documents": ["a", "b"], "property": ""},
    VECTORIZE: {"texts": ["a"]},
}
"""What only a container of that kind answers."""

Item = TypeVar("Item")


def manifest_of(new: NewSide) -> Manifest | None:
    """The bundle's manifest; None for an address. Raises ``BundleError``."""
    return None if isinstance(new, Container) else read_manifest(new)


def route_of(new: NewSide, seconds: float) -> str:
    """What the new side is asked for: the bundle's kind says so, or the container answers one of ``PROBES``.

    Raises ``BundleError``, ``ContainerUnreachable`` or ``InvalidOption``.
    """
    if not isinstance(new, Container):
        return ROUTES_OF_KINDS.get(read_manifest(new).kind, VECTORS)
    return next((route for route in PROBES if _answers(new, route, seconds)), VECTORS)


def _answers(new: Container, route: str, seconds: float) -> bool:
    with closing(connect(new, seconds, route)) as client:
        try:
            client.post(route, PROBES[route], "a probe")
        except ContainerRefused as refused:
            # NOTE: a container that refuses for want of a token says so here; others have no such path.
            if refused.status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
                raise
            return False
    return True


@contextmanager
def opened(
    new: NewSide, seconds: float, settings: Mapping[str, str] | None = None, route: str = VECTORS
) -> Iterator[VectorsClient]:
    """A connection to the new side. A bundle is served for that time, as a container with ``settings`` serves it."""
    if isinstance(new, Container):
        with closing(connect(new, seconds, route)) as client:
            yield client
        return
    with (
        serve(new, settings or {}) as runtime,
        closing(VectorsClient("the new container", runtime.address, seconds=seconds)) as client,
    ):
        yield client


def counted(items: Sequence[Item], done: str, progress: Progress) -> Iterator[Item]:
    """The items one after the other, with a line on a terminal that counts what is ``done``."""
    for number, item in enumerate(items, start=1):
        yield item
        progress.count(done, number, len(items))
