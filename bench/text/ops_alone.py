"""Runs the ops of texts alone: what a request costs at least, whatever a server does around them.

``python -m bench.text.ops_alone BUNDLE LOW HIGH TEXTS_PER_RUN`` runs in the runtime's environment, and prints
milliseconds of CPU time for a text of LOW to HIGH words.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bench.load.texts import Length, endless_texts
from manifest import TextModel
from runtime.bundle import open_bundle
from runtime.inference.engine import Engine, open_engine
from runtime.inference.native_ops import load_native_ops
from runtime.inference.token_batch import TokenBatch
from runtime.inference.token_run import MAX_BATCH_TOKENS
from runtime.text.tokenizer import Tokenizer

TEXTS = 256
SECONDS = 0.5
"""Texts are run again and again for so long."""


def milliseconds(bundle: Path, length: Length, texts_per_run: int) -> float:
    """CPU time of a text's ops on one thread, in batches as the server makes them where enough texts wait."""
    engine, tokenizer = _load(bundle)
    texts = [TokenBatch.of(tokenizer.encode(text)) for text in islice(endless_texts(length, "ops"), TEXTS)]
    if engine.pools:
        texts = [text.pooling([(0, len(text.ids))], True) for text in texts]
    batches = [TokenBatch.joined(batch) for batch in batched(texts, texts_per_run)]
    runs, spent = 0, 0.0
    _run_all(engine, batches)
    while spent < SECONDS:
        start = time.process_time()
        _run_all(engine, batches)
        spent += time.process_time() - start
        runs += 1
    return spent / (runs * TEXTS) * 1e3


def batched(texts: list[TokenBatch], most: int) -> Iterator[list[TokenBatch]]:
    """The texts in order, at most so many together, and no more tokens than the server runs together."""
    batch: list[TokenBatch] = []
    for text in texts:
        tokens = len(text.ids) + sum(len(other.ids) for other in batch)
        if batch and (len(batch) == most or tokens > MAX_BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(text)
    yield batch


def _run_all(engine: Engine, batches: list[TokenBatch]) -> None:
    for batch in batches:
        engine.run(batch, 1)


def _load(directory: Path) -> tuple[Engine, Tokenizer]:
    """Of the model's first encoder."""
    model = open_bundle(directory).manifest.section_as(TextModel)
    encoder = next(iter(model.encoders.values()))
    graph = model.graphs[encoder.graph]
    engine = open_engine(directory / graph.file, graph, 1, load_native_ops([graph.ops]))
    return engine, Tokenizer(directory / encoder.tokenizer)


if __name__ == "__main__":
    folder, low, high, most = sys.argv[1:]
    print(milliseconds(Path(folder), Length("texts", int(low), int(high)), int(most)))
