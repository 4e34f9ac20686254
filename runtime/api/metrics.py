"""Answers ``GET /metrics``: the figures of all workers, whichever of them is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import ClassVar

from falcon.asgi import Request, Response

from manifest import Manifest, project_version
from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import STRING
from runtime.host.memory import available_memory
from runtime.host.resident import resident_bytes
from runtime.metrics.board import Board
from runtime.metrics.exposition import CONTENT_TYPE, exposition, header, sample, single
from runtime.metrics.http_figures import HttpFigures
from runtime.metrics.layout import PROCESS

MEDIA_TYPE = "text/plain"

RESIDENT = "cpu2vec_resident_memory_bytes"


class MetricsResource:
    operations: ClassVar = {"get": Operation("Figures for Prometheus", answer=STRING, media_type=MEDIA_TYPE)}

    def __init__(self, board: Board, figures: HttpFigures, info: Mapping[str, str]) -> None:
        """``figures``: of this worker. ``info``: labels that say what is served."""
        self._board, self._figures, self._info = board, figures, info
        self._limit = available_memory()

    async def on_get(self, req: Request, resp: Response) -> None:
        self._figures.publish(scrapes=1)
        resp.content_type = CONTENT_TYPE
        resp.data = "".join(f"{line}\n" for line in self._lines()).encode()

    def _lines(self) -> Iterator[str]:
        yield from exposition(self._board, self._figures.routes)
        yield from header(RESIDENT, "Resident memory, by process; each counts what it shares.", "gauge")
        yield sample(RESIDENT, resident_bytes(os.getppid()), {"process": "master"})
        for number, row in enumerate(self._board.rows()):
            if process := int(row[PROCESS]):
                yield sample(RESIDENT, resident_bytes(process), {"process": f"worker-{number}"})
        yield from single("cpu2vec_memory_limit_bytes", "Memory that this container may use.", "gauge", self._limit)
        yield from single("cpu2vec_info", "What is served, and by which version.", "gauge", 1, self._info)


def figures_info(manifest: Manifest) -> dict[str, str]:
    """The labels that say what is served."""
    return {
        "version": project_version(),
        "model": manifest.model,
        "kind": manifest.kind,
        "precision": manifest.precision,
        "target": manifest.target,
    }
