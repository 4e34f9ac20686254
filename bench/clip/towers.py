"""The command line that times image towers and reading of images in process: ``python -m bench.clip.towers --help``."""

from __future__ import annotations

import argparse
import base64
import io
import itertools
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.clip.models import engines_folder, vit_b_32
from bench.clip.systems import PRECISION, bundle_of
from bench.command_line import EXIT_FAILED, EXIT_INTERRUPTED, fail, interrupt_on_terminate, parser_for, positive
from bench.commands import Command, run
from bench.environment import OPENVINO_ENVIRONMENT, RUNTIME_ENVIRONMENT, ensure_environment, python_in
from bench.errors import BenchError
from bench.load.pictures import TWELVE_MEGAPIXELS, USUAL, Size, endless_jpegs
from bench.models.preparation import OPENVINO_REQUIREMENTS
from bench.models.process import QUIET, WorkerProcess
from bench.progress import Log, Stopwatch
from bench.report.machine import OtherLoad, describe_machine, disturbance, versions_in
from bench.report.statistics import median, median_ratio
from bench.report.tables import table
from build.errors import BuildError
from build.fidelity.cosine import cosines
from build.model.files import ModelFiles
from manifest import ClipModel, PixelInput, Precision, read_manifest
from runtime.images.preprocess import Preprocessor

ROUNDS = 5
IMAGES = 24
"""So many are timed in a round."""

COMPARED = 16
"""So many images' vectors are compared with those in fp32."""

CALIBRATION_IMAGES = 64
"""NNCF reads so many."""

MAX_PIXELS = 64_000_000

DESCRIPTION = "Time the image tower of a CLIP model in process, beside other engines, and the reading of JPEGs."
EPILOG = """\
Each engine runs in a process of its own, only one at a time, with a thread for each core that calls the model with an
image at a time. On one core, there is one thread. Pixels go in, vectors come out. Then JPEGs are read, from base64 to
pixels, by this project and by transformers' image processor, on one thread. docs/performance.md explains the tables.

The first run creates what is missing: the model, bundles, OpenVINO's environment (about 400 MB) and its model.

examples:
  .venv/build/bin/python -m bench.clip.towers
  .venv/build/bin/python -m bench.clip.towers --rounds 9
"""


@dataclass(frozen=True)
class Tower:
    """An engine with what it loads."""

    name: str
    engine: str
    """One of ``bench.clip.worker.ENGINES``."""
    model: Path


@dataclass(frozen=True)
class Timed:
    """What was measured of one engine."""

    seconds: dict[int, list[float]]
    """By the number of cores, the time of an image, round by round."""
    cosine: float
    """To the same model in fp32, the least of the images that are compared."""


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    interrupt_on_terminate()
    log, others = Stopwatch().log, OtherLoad()
    try:
        log("preparing the model, bundles and OpenVINO's model")
        towers, reference = prepare(vit_b_32())
        versions = versions_in(RUNTIME_ENVIRONMENT, ("onnxruntime", "pillow"))
        versions |= versions_in(OPENVINO_ENVIRONMENT, ("openvino",))
        print(f"{describe_machine()}  \n{', '.join(f'{name} {number}' for name, number in versions.items())}\n")
        print(render(measure(towers, reference, options.rounds, len(os.sched_getaffinity(0)), log)), flush=True)
        pixels = read_manifest(reference.model).section_as(ClipModel).image.pixels
        log("reading JPEGs")
        print(f"\n{render_reading(time_reading(pixels, (USUAL, TWELVE_MEGAPIXELS), options.rounds))}", flush=True)
    except KeyboardInterrupt:
        return fail("interrupted; all processes are ended", EXIT_INTERRUPTED)
    except (BenchError, BuildError) as error:
        return fail(str(error), EXIT_FAILED)
    print(f"\n{disturbance(others.percent())}", file=sys.stderr)
    return 0


def prepare(model: ModelFiles) -> tuple[list[Tower], Tower]:
    """All engines, the first of which is this project's, and the one in fp32. Raises ``BenchError``, ``BuildError``."""
    fp32, stock = (bundle_of(model, precision) for precision in (Precision.FP32, Precision.INT8_STOCK))
    own = Tower(f"cpu2vec, {PRECISION}", "onnxruntime", bundle_of(model))
    others = [] if stock == own.model else [Tower("onnxruntime int8 per channel", "onnxruntime", stock)]
    quantized = quantized_by_openvino(fp32, engines_folder(model))
    openvino = Tower("OpenVINO int8 (NNCF)", "openvino", quantized)
    reference = Tower("onnxruntime fp32", "onnxruntime", fp32)
    return [own, *others, openvino, reference], reference


def quantized_by_openvino(bundle: Path, folder: Path) -> Path:
    """What OpenVINO loads, in ``folder``; made of a bundle in fp32 if it is missing. Raises ``BenchError``."""
    ensure_environment(OPENVINO_ENVIRONMENT, OPENVINO_REQUIREMENTS)
    output, unfinished = folder / "openvino.xml", folder / "unfinished.xml"
    if output.is_file():
        return output
    image = read_manifest(bundle).section_as(ClipModel).image
    numbers = (str(image.pixels.side), str(CALIBRATION_IMAGES))
    python = python_in(OPENVINO_ENVIRONMENT)
    command: Command = [python, "-m", "bench.clip.openvino_quantize", bundle / image.graph.file, *numbers, unfinished]
    environment = {"PATH": os.defpath, "HOME": str(folder), **QUIET}
    run(command, "OpenVINO's model cannot be made", environment=environment)
    unfinished.with_suffix(".bin").rename(output.with_suffix(".bin"))
    return unfinished.rename(output)


def measure(
    towers: Sequence[Tower], reference: Tower, rounds: int, cores: int, log: Log, images: int = IMAGES
) -> dict[str, Timed]:
    """Each engine's times, by its name. Raises ``ModelFailed``."""
    expected = _vectors(reference)
    counts = sorted({1, cores})
    timed = {
        tower.name: Timed({count: [] for count in counts}, float(cosines(_vectors(tower), expected).min()))
        for tower in towers
    }
    core = max(os.sched_getaffinity(0))
    with ExitStack() as stack:
        running = {
            (tower.name, count): stack.enter_context(_process(tower, core if count == 1 else None, count))
            for tower, count in itertools.product(towers, counts)
        }
        for number in range(rounds):
            log(f"round {number + 1}/{rounds}")
            for (name, count), process in list(running.items())[:: 1 if number % 2 == 0 else -1]:
                timed[name].seconds[count].append(process.ask("time", images=images)["seconds"] / images)
    return timed


def _process(tower: Tower, core: int | None, callers: int) -> WorkerProcess:
    arguments = ["bench.clip.worker", tower.engine, str(tower.model), "--callers", str(callers)]
    return WorkerProcess(
        tower.name, tower.engine, [*arguments, *(["--core", str(core)] if core is not None else [])], {}
    )


def _vectors(tower: Tower) -> NDArray[np.float32]:
    with _process(tower, None, 1) as process:
        return np.asarray(process.ask("embed", images=COMPARED)["vectors"], dtype=np.float32)


def render(timed: Mapping[str, Timed]) -> str:
    """A row for each engine; in brackets: times the rate of the first, which is this project's."""
    own = next(iter(timed.values())).seconds
    rows = []
    for name, found in timed.items():
        cells = []
        for count, seconds in found.seconds.items():
            rate = f"{1 / median(seconds):.1f}"
            cells.append(rate if seconds is own[count] else f"{rate} ({1 / median_ratio(seconds, own[count]):.2f} ×)")
        rows.append([name, *cells, f"{found.cosine:.4f}"])
    columns = [f"images/s, {count} core{'s' if count > 1 else ''}" for count in own]
    return table(["image tower", *columns, "least cosine to fp32"], rows, left=1)


@dataclass(frozen=True)
class Reading:
    """What reading JPEGs of a size takes."""

    size: Size
    file_bytes: int
    """Of a file, the mean."""
    own: list[float]
    """Seconds for an image, round by round."""
    original: list[float]
    """The same by Pillow and transformers' image processor."""


def time_reading(pixels: PixelInput, sizes: Sequence[Size], rounds: int) -> list[Reading]:
    """From base64 to the network's input, on one thread."""
    preprocess, original = Preprocessor(pixels, MAX_PIXELS), _original(pixels)
    readings = []
    for size in sizes:
        files = list(itertools.islice(endless_jpegs(size, "reading"), 2 * size.different))
        images = [base64.b64encode(file).decode() for file in files]
        mean = sum(map(len, files)) // len(files)
        reading = Reading(size, mean, [], [])
        for _ in range(rounds):
            reading.own.append(_seconds(lambda image: preprocess.pixels(preprocess.outline(image)), images))
            reading.original.append(_seconds(original, images))
        readings.append(reading)
    return readings


def _seconds(read: Callable[[str], object], images: Sequence[str]) -> float:
    """For each image."""
    start = time.perf_counter()
    for image in images:
        read(image)
    return (time.perf_counter() - start) / len(images)


def _original(pixels: PixelInput) -> Callable[[str], object]:
    """As the container reads an image."""
    from PIL import Image
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor(
        size={"shortest_edge": pixels.short_side},
        crop_size={"height": pixels.side, "width": pixels.side},
        image_mean=list(pixels.mean),
        image_std=list(pixels.std),
    )

    def read(image: str) -> object:
        with Image.open(io.BytesIO(base64.b64decode(image))) as picture:
            return processor(picture, return_tensors="np")

    return read


def render_reading(readings: Sequence[Reading]) -> str:
    """A row for each size; in brackets: times this project's time."""
    rows = []
    for reading in readings:
        ratio = median_ratio(reading.original, reading.own)
        rows.append(
            [
                f"{reading.size.width} × {reading.size.height}",
                f"{reading.file_bytes / 1e3:.0f} kB",
                f"{median(reading.own) * 1e3:.1f}",
                f"{median(reading.original) * 1e3:.1f} ({ratio:.2f} ×)",
            ]
        )
    return table(["reading a JPEG", "file", "ms, cpu2vec", "ms, CLIPImageProcessor"], rows, left=1)


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("bench.clip.towers", DESCRIPTION, EPILOG)
    parser.add_argument(
        "--rounds", type=positive(int), default=ROUNDS, help=f"each times every engine once (default: {ROUNDS})"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
