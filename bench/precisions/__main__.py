"""Measures what each way of storing weights costs in fidelity and in time: ``python -m bench.precisions --help``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.bundles import unverified_bundle
from bench.errors import BenchError
from bench.precisions.engine_times import Timed, engine_times, longest, median_ratio
from bench.precisions.sts import Pairs, agreement, read_pairs
from bench.report.machine import describe_machine
from bench.report.statistics import median
from bench.server.fidelity import reference_vectors
from bench.server.report import table
from build.compare.neighbours import neighbours, shared
from build.errors import BuildError
from build.fidelity.cosine import cosines, summarize
from build.fidelity.cpu_classes import ISA_SETTING, SEVEN_BITS
from build.fidelity.heldout import heldout_texts
from build.fidelity.runtime_process import AS_THE_ORIGINAL, serve
from build.host.machine import host_target, instruction_sets
from build.kernels import ensure
from build.model.default_model import MODEL
from build.model.fetch import fetch
from build.model.trust import NO_TRUST
from build.precisions import recipe_for
from manifest import Precision

PLAIN, STOCK, NATIVE, FULL = "int8-stock, unprepared", "int8-stock", "int8", "fp32"
LANGUAGES = {"en-dev.csv": "English", "de-dev.csv": "German", "zh-dev.csv": "Chinese"}
LENGTHS = (16, 128)
ROUNDS = 40
NEIGHBOURS = 10

EPILOG = """\
--stsb names a directory with en-dev.csv, de-dev.csv and zh-dev.csv, each with lines «sentence,sentence,score»: the
development files of the STS benchmark and of its translations. Without it, the held-out texts alone are measured.

examples:
  make bench-fidelity STSB=~/stsb
  .venv/build/bin/python -m bench.precisions --model ./my-model
"""


@dataclass(frozen=True)
class Texts:
    """A set of texts with the original's vectors; ``pairs`` where people have scored some of them."""

    name: str
    texts: tuple[str, ...]
    expected: NDArray[np.float32]
    pairs: Pairs | None


def main(arguments: list[str]) -> int:
    """Print the tables to standard output, all else to standard error."""
    options = _parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-precisions-") as folder:
            sets = list(_sets(options.model, options.stsb))
            bundles = _bundles(options.model, Path(folder))
            rows = [row for name, subject in bundles.items() for row in _fidelity_rows(name, subject, sets)]
            header = (
                "texts",
                "weights",
                "cosine mean",
                "1st percentile",
                "minimum",
                "Spearman × 100",
                "loss",
                "top 10",
            )
            print(
                _machine(options.model),
                table(header, sorted(rows, key=lambda row: _order(row, sets)), left=2),
                sep="\n\n",
            )
            print("", table(("weights", "tokens", "ms", "times"), _time_rows(bundles), left=1), sep="\n")
    except (BenchError, BuildError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def _order(row: Sequence[str], sets: Sequence[Texts]) -> int:
    return [one.name for one in sets].index(row[0])


def _machine(model: str) -> str:
    machine = describe_machine()
    return f"{model}  \n{machine.cpu}, {machine.cores} cores, {machine.architecture}: {' '.join(machine.flags)}"


def _bundles(model: str, folder: Path) -> dict[str, Timed]:
    """Unverified bundles by how weights are stored; the native one again with the instructions of an older CPU."""
    target = host_target()
    stock = recipe_for(Precision.INT8_STOCK, target)
    recipes = {
        PLAIN: replace(stock, prepare=False),
        STOCK: stock,
        NATIVE: recipe_for(Precision.INT8, target),
        FULL: recipe_for(Precision.FP32, target),
    }
    bundles = {}
    for number, (name, recipe) in enumerate(recipes.items()):
        _say(f"the bundle of {name}")
        bundles[name] = Timed(unverified_bundle(model, recipe, folder / str(number)))
    if SEVEN_BITS in instruction_sets(ensure(target))[1:]:
        bundles[f"{NATIVE}, {SEVEN_BITS}"] = Timed(bundles[NATIVE].bundle, SEVEN_BITS)
    return bundles


def _sets(model: str, stsb: Path | None) -> Iterator[Texts]:
    directory = fetch(model, None, NO_TRUST).directory
    held_out = tuple(heldout_texts())
    yield Texts("held-out", held_out, reference_vectors(directory, list(held_out)), None)
    for name, language in LANGUAGES.items() if stsb else ():
        pairs = read_pairs(stsb / name)
        _say(f"the original on {len(pairs.sentences)} sentences in {language}")
        yield Texts(f"STS-B, {language}", pairs.sentences, reference_vectors(directory, list(pairs.sentences)), pairs)


def _fidelity_rows(weights: str, subject: Timed, sets: Sequence[Texts]) -> list[list[str]]:
    rows = []
    forced = {ISA_SETTING: subject.isa} if subject.isa else {}
    with serve(subject.bundle, {**AS_THE_ORIGINAL, **forced}) as client:
        for one in sets:
            _say(f"{weights}: {len(one.texts)} texts of {one.name}")
            served = np.stack([client.embed(text) for text in one.texts])
            rows.append([one.name, weights, *_figures(one, served)])
    return rows


def _figures(one: Texts, served: NDArray[np.float32]) -> list[str]:
    near = summarize(cosines(served, one.expected))
    k = min(NEIGHBOURS, len(one.texts) - 1)
    kept = shared(neighbours(served, served, k), neighbours(one.expected, one.expected, k))
    agreed = ["–", "–"]
    if one.pairs is not None:
        score = agreement(one.pairs, served)
        agreed = [f"{score:.2f}", f"{agreement(one.pairs, one.expected) - score:.3f}"]
    return [f"{near.cosine_mean:.5f}", f"{near.cosine_p1:.5f}", f"{near.cosine_min:.5f}", *agreed, f"{kept:.3f}"]


def _time_rows(bundles: Mapping[str, Timed]) -> list[list[str]]:
    rows = []
    for tokens in [length for length in LENGTHS if length <= longest(bundles[PLAIN].bundle)]:
        _say(f"runs of {tokens} tokens on one core")
        times = engine_times(bundles, tokens, ROUNDS)
        for name, seconds in times.items():
            ratio = median_ratio(seconds, times[PLAIN])
            rows.append([name, str(tokens), f"{median(seconds) * 1e3:.2f}", f"{ratio:.3f}"])
    return rows


def _say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.precisions",
        description="Measure fidelity and time of a model's int8 weights, with and without preparation, and of fp32.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", default=MODEL, help="id on the hub, or a local directory (default: the default model)"
    )
    parser.add_argument("--stsb", type=Path, help="directory with the scored pairs of sentences")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
