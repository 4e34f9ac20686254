"""Runs one engine on one model in a process of its own.

``python -m bench.models.engines.worker ENGINE MODEL [--isa NAME] [--core N] [--callers N] [--deny-amx]``, in the
engine's environment, which may contain nothing but numpy and the engine itself. Each line of standard input is a
request, each line of standard output its answer, both JSON objects. An answer with ``error`` is the last one.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from bench.models.engines.amx import deny_amx
from bench.models.engines.inputs import Text

ENGINES = {"onnxruntime": "onnx_model", "openvino": "openvino_model", "torch": "torch_model"}

FIRST_ID, IDS = 5, 50
"""These ids are in every vocabulary. Which ids a text has does not change the time."""

KILOBYTE = 1024
ROLLUP = Path("/proc/self/smaps_rollup")

Answer = dict[str, Any]


class Model(Protocol):
    isa: str
    """The instruction set of its matrix products, as far as the engine reports it."""

    def run(self, texts: list[Text]) -> Any:
        """The token embeddings of all texts, concatenated, (tokens, width), in as few calls as the engine allows.

        Where a graph computes its last layer only for the tokens that are asked for, as the runtime asks for those that
        pooling reads, they are of one token for each text.
        """

    def embed(self, text: Text) -> Any:
        """The embeddings of all tokens of one text, (tokens, width)."""


class Worker:
    """Answers requests; ``load`` makes a model, which may take seconds."""

    def __init__(self, load: Callable[[], Model], callers: int) -> None:
        """``callers``: so many threads may run the model at once."""
        self._load, self._callers = load, callers
        self._model: Model | None = None
        self._handlers: Mapping[str, Callable[[Any], Answer]] = {
            "memory": lambda _: memory(),
            "load": lambda _: self._reload(),
            "time": self._time,
            "run": self._run_texts,
            "embed": self._embed,
            "together": self._time_together,
        }

    def answer(self, request: Mapping[str, Any]) -> Answer:
        return self._handlers[request["do"]](request)

    def _reload(self) -> Answer:
        """Make the model anew, and report how long that took."""
        self._model = None
        gc.collect()
        start = time.perf_counter()
        self._model = self._load()
        return {"seconds": time.perf_counter() - start, "isa": self._model.isa}

    def _time(self, request: Mapping[str, Any]) -> Answer:
        """Make ``calls`` one after another, each with texts of so many tokens, and report the seconds of one round.

        ``waited``: the part of the time in which the process did not have the core.
        """
        calls = [[text_of(tokens) for tokens in lengths] for lengths in request["calls"]]
        self._round(calls)  # PERF: not timed, because another process had the core and its caches
        start, used = time.perf_counter(), time.process_time()
        for _ in range(request["repeats"]):
            self._round(calls)
        seconds, used = time.perf_counter() - start, time.process_time() - used
        return {"seconds": seconds / request["repeats"], "waited": max(0.0, 1 - used / seconds)}

    def _run_texts(self, request: Mapping[str, Any]) -> Answer:
        lengths = request["lengths"]
        for number in range(request["runs"]):
            self._run([text_of(lengths[number % len(lengths)])])
        return {}

    def _embed(self, request: Mapping[str, Any]) -> Answer:
        """The mean of each text's token embeddings, one text per call."""
        return {"vectors": [self._loaded().embed(Text(*text)).mean(axis=0).tolist() for text in request["texts"]]}

    def _time_together(self, request: Mapping[str, Any]) -> Answer:
        """Make ``calls``, each with its texts, on as many threads as may call, and report the seconds of all."""
        calls = [[Text(*text) for text in texts] for texts in request["calls"]]
        with ThreadPoolExecutor(self._callers) as pool:
            list(pool.map(self._run, calls[: self._callers]))  # PERF: not timed, as in ``_time``
            start = time.perf_counter()
            list(pool.map(self._run, calls))
            return {"seconds": time.perf_counter() - start}

    def _round(self, calls: list[list[Text]]) -> None:
        for texts in calls:
            self._run(texts)

    def _run(self, texts: list[Text]) -> Any:
        return self._loaded().run(texts)

    def _loaded(self) -> Model:
        if self._model is None:
            raise RuntimeError("no model is loaded")
        return self._model


def text_of(tokens: int) -> Text:
    return Text([FIRST_ID + index % IDS for index in range(tokens)])


def memory() -> Answer:
    """This process's memory in bytes: ``private`` pages, and ``pss``, which divides shared pages among processes."""
    gc.collect()
    return parse_rollup(ROLLUP.read_text())


def parse_rollup(text: str) -> Answer:
    kilobytes = dict(_lines(text))
    private = sum(value for name, value in kilobytes.items() if name.startswith("Private_"))
    return {"private": private * KILOBYTE, "pss": kilobytes["Pss"] * KILOBYTE}


def _lines(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines()[1:]:
        name, _, value = line.partition(":")
        yield name, int(value.split()[0])


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    # NOTE: both happen before an engine is imported, because its threads inherit them.
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    if options.deny_amx:
        deny_amx()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        engine = importlib.import_module(f"bench.models.engines.{ENGINES[options.engine]}")
        worker = Worker(lambda: engine.load(options.model, options.isa, options.callers), options.callers)
        for line in sys.stdin:
            print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)
    except Exception as error:  # NOTE: the engines' exceptions share no base class below Exception.
        print(json.dumps({"error": f"{type(error).__name__}: {str(error)[:300]}"}), file=answers, flush=True)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.models.engines.worker",
        description="Run one engine on one model in a process of its own; bench.models starts it.",
    )
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("model", type=Path, help="a bundle, an OpenVINO model or a directory of transformers")
    parser.add_argument("--isa", help="the instruction set that the native kernels must use")
    parser.add_argument("--core", type=int, help="the only core to run on")
    parser.add_argument("--callers", type=int, default=1, help="so many threads may run the model at once")
    parser.add_argument("--deny-amx", action="store_true", help="let the kernel refuse AMX's registers")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
