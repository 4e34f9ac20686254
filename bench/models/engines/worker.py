"""Runs one engine on one model in a process of its own: a JSON object a line in, one a line out.

``python -m bench.models.engines.worker ENGINE MODEL [--isa NAME] [--core N] [--deny-amx]``, in the engine's
environment, which may hold nothing but numpy and the engine itself. An answer with ``error`` is the last one.
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
from pathlib import Path
from typing import Any, Protocol

from bench.models.engines.amx import deny_amx

ENGINES = {"onnxruntime": "onnx_model", "openvino": "openvino_model", "torch": "torch_model"}

FIRST_ID, IDS = 5, 50
"""Ids that every vocabulary has. Which ones they are does not change the time."""

KILOBYTE = 1024
ROLLUP = Path("/proc/self/smaps_rollup")

Text = list[int]
Answer = dict[str, Any]


class Model(Protocol):
    """``isa``: the instruction set of its products, as far as the engine tells."""

    isa: str

    def run(self, texts: list[Text]) -> Any:
        """Token embeddings of all texts one behind the other, (tokens, width); as few calls as the engine allows."""


class Worker:
    """Answers orders; ``load`` makes a model and may take seconds."""

    def __init__(self, load: Callable[[], Model]) -> None:
        self._load = load
        self._model: Model | None = None
        self._orders: Mapping[str, Callable[[Any], Answer]] = {
            "memory": lambda _: memory(),
            "load": lambda _: self._loaded(),
            "time": self._timed,
            "work": self._worked,
            "embed": self._embedded,
        }

    def answer(self, order: Mapping[str, Any]) -> Answer:
        return self._orders[order["do"]](order)

    def _loaded(self) -> Answer:
        """Make the model, in place of the one before. ``seconds`` are those of making it."""
        self._model = None
        gc.collect()
        started = time.perf_counter()
        self._model = self._load()
        return {"seconds": time.perf_counter() - started, "isa": self._model.isa}

    def _timed(self, order: Mapping[str, Any]) -> Answer:
        """``calls`` are made one after another, each of texts of so many tokens; ``seconds`` are of one round.

        ``waited``: the part of the time in which the process did not have the core.
        """
        calls = [[text_of(tokens) for tokens in lengths] for lengths in order["calls"]]
        self._round(calls)  # PERF: untimed, because another process had the core and its caches
        started, used = time.perf_counter(), time.process_time()
        for _ in range(order["repeats"]):
            self._round(calls)
        seconds, used = time.perf_counter() - started, time.process_time() - used
        return {"seconds": seconds / order["repeats"], "waited": max(0.0, 1 - used / seconds)}

    def _worked(self, order: Mapping[str, Any]) -> Answer:
        lengths = order["lengths"]
        for number in range(order["runs"]):
            self._run([text_of(lengths[number % len(lengths)])])
        return {}

    def _embedded(self, order: Mapping[str, Any]) -> Answer:
        """Means over tokens, one text a call."""
        return {"vectors": [self._run([text]).mean(axis=0).tolist() for text in order["texts"]]}

    def _round(self, calls: list[list[Text]]) -> None:
        for texts in calls:
            self._run(texts)

    def _run(self, texts: list[Text]) -> Any:
        if self._model is None:
            raise RuntimeError("no model is loaded")
        return self._model.run(texts)


def text_of(tokens: int) -> Text:
    return [FIRST_ID + number % IDS for number in range(tokens)]


def memory() -> Answer:
    """Of this process, in bytes: ``private`` pages, and ``pss``, which shares out those of several processes."""
    gc.collect()
    return parse_rollup(ROLLUP.read_text())


def parse_rollup(text: str) -> Answer:
    kilobytes = dict(_figures(text))
    private = sum(value for name, value in kilobytes.items() if name.startswith("Private_"))
    return {"private": private * KILOBYTE, "pss": kilobytes["Pss"] * KILOBYTE}


def _figures(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines()[1:]:
        name, _, value = line.partition(":")
        yield name, int(value.split()[0])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.models.engines.worker", description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("model", type=Path, help="a bundle, an OpenVINO model or a directory of transformers")
    parser.add_argument("--isa", help="the instruction set that the native kernels are to use")
    parser.add_argument("--core", type=int, help="the only core to run on")
    parser.add_argument("--deny-amx", action="store_true", help="have the kernel refuse the registers of AMX")
    options = parser.parse_args(arguments)
    # NOTE: both before an engine is imported, because its threads inherit them.
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    if options.deny_amx:
        deny_amx()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        engine = importlib.import_module(f"bench.models.engines.{ENGINES[options.engine]}")
        worker = Worker(lambda: engine.load(options.model, options.isa))
        for line in sys.stdin:
            print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)
    except Exception as error:  # NOTE: the engines' exceptions share no base class below Exception.
        print(json.dumps({"error": f"{type(error).__name__}: {str(error)[:300]}"}), file=answers, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
