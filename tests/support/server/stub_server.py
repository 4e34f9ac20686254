"""Plays an embedding server without a model, with faults on request, in this process or in one of its own."""

from __future__ import annotations

import base64
import json
import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.load.loads import Load, LoadSpec
from bench.server.fidelity import OriginalVectors
from bench.server.system import Launch, System
from bench.text.loads import TEXT_LOADS
from build.model.files import ModelFiles
from manifest import Source, SourceKind
from tests.support.paths import ROOT
from tests.support.server.stub_container import Handler, Reply, Seen, send, serving

DIM = 8
SOUND_ANSWERS = 9
"""So many requests are answered correctly before a fault shows."""

MODEL = ModelFiles("stub/model", Source(SourceKind.DIRECTORY, "sha256:0"), ROOT)


def stub_vector(text: str) -> list[float]:
    """Any vector that depends on the text."""
    return [math.sin(len(text) * (index + 1)) + 0.5 for index in range(DIM)]


def stub_original(directory: Path) -> OriginalVectors:
    """What the original would return, if there were one."""
    texts = ["a", "bb"]
    return OriginalVectors(texts, np.asarray([stub_vector(text) for text in texts], dtype=np.float32))


def embedding(fault: str = "") -> Reply:
    """Answers as an embedding server does; ``fault`` makes all answers after the first few wrong in one way."""

    def reply(handler: Handler, number: int) -> None:
        if handler.command == "GET":
            send(handler, 204, b"")
        else:
            _answer(handler, fault if number >= SOUND_ANSWERS else "")

    return reply


def _answer(handler: Handler, fault: str) -> None:
    if fault == "close":
        handler.close_connection = True
        return
    fields = json.loads(handler.body)
    if "input" in fields:
        _answer_many(handler, fields)
        return
    text = fields["text"]
    vector = stub_vector(text)
    if fault == "size":
        vector.append(1.0)
    answer = {"text": "another" if fault == "text" else text, "vector": vector, "dim": len(vector)}
    send(handler, 500 if fault == "status" else 200, json.dumps(answer, separators=(",", ":")).encode())


def _answer_many(handler: Handler, fields: dict[str, Any]) -> None:
    vectors = np.asarray([stub_vector(text) for text in fields["input"]], dtype="<f4")
    if fields["encoding_format"] == "base64":
        shown: list[Any] = [base64.b64encode(vector.tobytes()).decode() for vector in vectors]
    else:
        shown = vectors.tolist()
    data = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(shown)]
    answer = {"object": "list", "data": data, "model": "stub", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    send(handler, 200, json.dumps(answer, separators=(",", ":")).encode())


@contextmanager
def running(fault: str = "") -> Iterator[tuple[int, Seen]]:
    """A stub in this process: its port, and the requests that it saw."""
    with serving(embedding(fault)) as (address, seen):
        yield int(address.rpartition(":")[2]), seen


def serve(port: int) -> None:
    """Serve until the process is ended."""
    with serving(embedding(), port):
        threading.Event().wait()


def stub_system(name: str, command: list[str | Path] | None = None) -> System:
    """A row of the benchmark that is a stub in a process of its own; ``command`` replaces the stub's."""

    def launch(model: ModelFiles, port: int) -> Launch:
        program = f"from tests.support.server.stub_server import serve; serve({port})"
        return Launch(command or [sys.executable, "-c", program], {})

    return System(
        name=name,
        about=f"a stub called {name}",
        environment=Path(sys.prefix),
        packages=("numpy",),
        prepare=lambda model: None,
        launch=launch,
    )


def load_named(name: str) -> Load:
    """One of those of text embedding models."""
    return next(load for load in TEXT_LOADS if load.name == name)


def load_spec(port: int, load: str = "short-8", requests: int = 100, seconds: float = 600) -> LoadSpec:
    """Ends after so many requests, however long they take."""
    return LoadSpec(port=port, load=load_named(load), seconds=seconds, requests=requests, numbers=DIM, seed="test")
