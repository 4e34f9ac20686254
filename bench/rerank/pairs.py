"""The command line that times pairs of texts in process: ``python -m bench.rerank.pairs --help``."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for, positive
from bench.environment import OPENVINO_ENVIRONMENT, RUNTIME_ENVIRONMENT
from bench.errors import BenchError
from bench.load.scores import QUERY
from bench.load.texts import endless_texts
from bench.models.engines.inputs import Text
from bench.models.preparation import bundle_for, quantized_by_openvino
from bench.models.process import Process
from bench.models.rows import NATIVE, OPENVINO, STOCK, SYSTEMS, Files, Spec
from bench.progress import Log, Stopwatch
from bench.report.machine import OtherLoad, describe_machine, disturbance, versions_in
from bench.report.statistics import median, median_ratio
from bench.report.tables import table
from bench.rerank.kind import RERANK
from bench.rerank.loads import DOCUMENTS, PASSAGES
from bench.rerank.models import engines_folder
from bench.rerank.systems import native_bundle
from build.errors import BuildError
from build.fidelity.cosine import cosines
from build.model.files import ModelFiles
from build.quantization.calibration_texts import calibration_pairs
from manifest import Encoder, RerankModel, read_manifest
from runtime.inference.token_run import MAX_BATCH_TOKENS

ROUNDS = 5
CALIBRATION_PAIRS = 64
"""NNCF reads so many. More would take minutes, and change no times."""

COMPARED = 16
"""So many pairs are compared with those in fp32."""

ENGINES = tuple(system for system in SYSTEMS if system.name in (NATIVE, STOCK, OPENVINO))
FP32 = next(system for system in SYSTEMS if system.files is Files.FP32)

DESCRIPTION = "Time pairs of a query and a document in process: the native kernels beside other engines."
EPILOG = f"""\
Each engine runs in a process of its own, only one at a time, with a thread for each core that calls the model with a
pair at a time: {DOCUMENTS} documents of a request, as the benchmark of servers sends them. On one core, there is one
thread. Token ids go in, token embeddings come out. docs/performance.md explains the table.

The first run creates what is missing: bundles, OpenVINO's environment (about 400 MB) and its model.

examples:
  .venv/build/bin/python -m bench.rerank.pairs
  .venv/build/bin/python -m bench.rerank.pairs --model ms-marco-MiniLM-L6 --rounds 9
"""


@dataclass(frozen=True)
class Timed:
    """What was measured of one engine."""

    seconds: dict[int, list[float]]
    """By the number of cores, the time of all pairs, round by round."""
    cosine: float
    """To the same model in fp32, the least of the pairs that are compared."""


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    interrupt_on_terminate()
    log, others = Stopwatch().log, OtherLoad()
    versions = versions_in(RUNTIME_ENVIRONMENT, ("onnxruntime",)) | versions_in(OPENVINO_ENVIRONMENT, ("openvino",))
    try:
        print(f"{describe_machine()}  \n{', '.join(f'{name} {number}' for name, number in versions.items())}")
        for model in RERANK.models:
            if options.model in (None, model.name):
                log(f"preparing {model.name}")
                files = _prepare(model.files())
                pairs = pairs_of(files[Files.NATIVE])
                timed = measure(files, pairs, options.rounds, len(os.sched_getaffinity(0)), log)
                tokens = sum(len(pair.ids) for pair in pairs) / len(pairs)
                print(f"\n{model.name}, {len(pairs)} pairs of {tokens:.0f} tokens on average\n", flush=True)
                print(render(timed), flush=True)
    except KeyboardInterrupt:
        return fail("interrupted; all processes are ended", EXIT_INTERRUPTED)
    except (BenchError, BuildError) as error:
        return fail(str(error), EXIT_FAILED)
    print(f"\n{disturbance(others.percent())}", file=sys.stderr)
    return 0


def measure(files: dict[Files, Path], pairs: Sequence[Text], rounds: int, cores: int, log: Log) -> dict[str, Timed]:
    """Each engine's times, by its name. ``files``: what each loads. Raises ``ModelFailed``."""
    core = max(os.sched_getaffinity(0))
    engines = [system for system in ENGINES if system.files in files]
    calls = {system: calls_of(pairs, MAX_BATCH_TOKENS if system.name == NATIVE else 0) for system in engines}
    reference = _embed(Spec(FP32), files[Files.FP32], pairs[:COMPARED])
    timed = {
        system.name: Timed(
            {count: [] for count in sorted({1, cores})},
            float(cosines(_embed(Spec(system), files[system.files], pairs[:COMPARED]), reference).min()),
        )
        for system in engines
    }
    with ExitStack() as stack:
        running = {}
        for system, count in itertools.product(engines, sorted({1, cores})):
            spec = replace(Spec(system), callers=count)
            process = stack.enter_context(Process(spec, files[system.files], core if count == 1 else None))
            process.ask("load")
            running[system, count] = process
        for number in range(rounds):
            log(f"round {number + 1}/{rounds}")
            for (system, count), process in list(running.items())[:: 1 if number % 2 == 0 else -1]:
                answer = process.ask("together", calls=calls[system])
                timed[system.name].seconds[count].append(answer["seconds"] / len(pairs))
    return timed


def render(timed: dict[str, Timed]) -> str:
    """A row for each engine; in brackets: times the native kernels' rate."""
    own = timed[NATIVE].seconds
    rows = []
    for name, found in timed.items():
        cells = []
        for count, seconds in found.seconds.items():
            rate = f"{1 / median(seconds):.1f}"
            cells.append(rate if name == NATIVE else f"{rate} ({1 / median_ratio(seconds, own[count]):.2f} ×)")
        rows.append([name, *cells, f"{found.cosine:.4f}"])
    columns = [f"pairs/s, {count} core{'s' if count > 1 else ''}" for count in own]
    return table(["system", *columns, "least cosine to fp32"], rows, left=1)


def _prepare(model: ModelFiles) -> dict[Files, Path]:
    folder, source = engines_folder(model), str(model.directory)
    files = {Files.NATIVE: native_bundle(model)}
    files |= {kind: bundle_for(kind, source, folder) for kind in (Files.STOCK, Files.FP32)}
    return files | {Files.OPENVINO: quantized_by_openvino(files[Files.FP32], folder, _calibration)}


def pairs_of(bundle: Path) -> list[Text]:
    """The tokens of a request's pairs."""
    tokenizer, encoder = _tokenizer(bundle)
    tokenizer.enable_truncation(encoder.max_tokens)
    query = next(endless_texts(QUERY, "a query"))
    documents = itertools.islice(endless_texts(PASSAGES, "documents"), DOCUMENTS)
    encodings = [tokenizer.encode(query, document) for document in documents]
    return [Text(encoding.ids, encoding.type_ids) for encoding in encodings]


def _calibration(bundle: Path) -> list[Text]:
    tokenizer, encoder = _tokenizer(bundle)
    pairs = calibration_pairs(tokenizer, encoder.max_tokens)
    return [Text(pair.ids.tolist(), pair.types.tolist()) for pair in pairs[:CALIBRATION_PAIRS]]


def _tokenizer(bundle: Path) -> tuple[Tokenizer, Encoder]:
    encoder = read_manifest(bundle).section_as(RerankModel).encoder
    return Tokenizer.from_file(str(bundle / encoder.tokenizer)), encoder


def calls_of(pairs: Sequence[Text], most_tokens: int) -> list[list[Text]]:
    """The pairs in calls of at most so many tokens, and at least one pair."""
    calls: list[list[Text]] = []
    for pair in pairs:
        if calls and sum(len(other.ids) for other in calls[-1]) + len(pair.ids) <= most_tokens:
            calls[-1].append(pair)
        else:
            calls.append([pair])
    return calls


def _embed(spec: Spec, path: Path, pairs: Sequence[Text]) -> NDArray[np.float32]:
    """(pairs, width): the mean of each pair's token embeddings. Raises ``ModelFailed``."""
    with Process(spec, path, None) as process:
        process.ask("load")
        return np.asarray(process.ask("embed", texts=pairs)["vectors"], dtype=np.float32)


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("bench.rerank.pairs", DESCRIPTION, EPILOG)
    names = [model.name for model in RERANK.models]
    parser.add_argument("--model", choices=names, help=f"{' or '.join(names)} (default: one after the other)")
    parser.add_argument(
        "--rounds", type=positive(int), default=ROUNDS, help=f"each times every engine once (default: {ROUNDS})"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
