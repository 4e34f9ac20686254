"""Prepares a model for every engine: bundles, OpenVINO's graph, the original, and texts as token ids."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer

from bench.bundles import unverified_bundle
from bench.commands import Command, run
from bench.environment import OPENVINO_ENVIRONMENT, ensure_environment, python_in
from bench.errors import SetupFailed
from bench.models.encoder_graph import encoder_graph
from bench.models.engines.inputs import Text
from bench.models.process import QUIET
from bench.models.random_model import SHAPES, write_model
from bench.models.rows import Files, System
from build.fidelity.requests import heldout_texts
from build.model.describe import describe
from build.model.fetch import fetch
from build.model.files import CONFIG
from build.model.json_files import read_object
from build.model.trust import NO_TRUST
from build.paths import ROOT
from build.precisions import PRECISIONS
from build.quantization.calibration_texts import calibration_ids
from manifest import Precision, TextModel, read_manifest

RANDOM = "random:"
"""This prefix and a shape's name stand for a model of ``bench.models.random_model``."""

OPENVINO_REQUIREMENTS = ROOT / "bench" / "openvino-requirements.txt"


@dataclass(frozen=True)
class PreparedModel:
    """A model as every engine needs it."""

    name: str
    files: dict[Files, Path]
    """What each engine loads."""
    positions: int | None
    """The most tokens that a text may have; None where the model has no limit."""
    texts: tuple[tuple[int, ...], ...]
    """The token ids of the held-out texts; empty for random weights, whose vectors mean nothing."""

    def size(self, files: Files) -> int:
        """Bytes on disk."""
        path = self.files[files]
        if files is Files.OPENVINO:
            return sum(part.stat().st_size for part in path.parent.glob(f"{path.stem}.*"))
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def prepare(model: str, systems: Sequence[System], scratch: Path) -> PreparedModel:
    """Use what ``scratch`` contains from an earlier run, and make the rest. Raises ``BenchError``, ``BuildError``."""
    folder = scratch / model.strip("./").replace("/", "-").replace(":", "-").lower()
    folder.mkdir(parents=True, exist_ok=True)
    name = str(_random_model(model, folder)) if model.startswith(RANDOM) else model
    source = fetch(name, None, NO_TRUST).directory
    encoder = (description := describe(source, trust_remote_code=False)).encoders[description.main_encoder]
    wanted = {system.files for system in systems}
    # OpenVINO's graph is made from the one in fp32.
    bundles = wanted - {Files.OPENVINO, Files.ORIGINAL} | ({Files.FP32} if Files.OPENVINO in wanted else set())
    files = {kind: bundle_for(kind, name, folder) for kind in sorted(bundles)}
    if Files.OPENVINO in wanted:
        files[Files.OPENVINO] = quantized_by_openvino(files[Files.FP32], folder, _calibration)
    if Files.ORIGINAL in wanted:
        files[Files.ORIGINAL] = encoder.folder
    texts = () if model.startswith(RANDOM) else _heldout_ids(next(files[kind] for kind in sorted(bundles)))
    return PreparedModel(model, files, encoder.family.positions(read_object(encoder.folder, CONFIG)), texts)


def _random_model(model: str, folder: Path) -> Path:
    shape = model.removeprefix(RANDOM)
    if shape not in SHAPES:
        raise SetupFailed(f"the shape of {RANDOM} must be one of {', '.join(SHAPES)}, not {shape!r}")
    directory, unfinished = folder / "original", folder / "original.unfinished"
    if not directory.is_dir():
        unfinished.mkdir(exist_ok=True)
        write_model(unfinished, SHAPES[shape], outliers=True)
        unfinished.rename(directory)
    return directory


def bundle_for(files: Files, model: str, folder: Path, calibrate: bool = True) -> Path:
    """The bundle that an engine loads, in ``folder``; made if it is missing. Raises ``BuildError``.

    ``calibrate``: whether native int8 is calibrated, which takes minutes for large models, and changes no times.
    """
    specs = {
        Files.NATIVE: replace(PRECISIONS[Precision.INT8], calibrate=calibrate),
        Files.STOCK: replace(PRECISIONS[Precision.INT8_STOCK], calibrate=False),
        Files.FP32: PRECISIONS[Precision.FP32],
    }
    output = folder / files
    return output if output.is_dir() else unverified_bundle(model, specs[files], output)


def quantized_by_openvino(bundle: Path, folder: Path, calibration: Callable[[Path], Sequence[Text]]) -> Path:
    """What OpenVINO loads, in ``folder``; made of a bundle in fp32 if it is missing. Raises ``BenchError``.

    ``calibration``: from the bundle to the texts that its quantization reads.
    """
    ensure_environment(OPENVINO_ENVIRONMENT, OPENVINO_REQUIREMENTS)
    output, unfinished, ids = folder / "openvino.xml", folder / "unfinished.xml", folder / "calibration.json"
    if output.is_file():
        return output
    ids.write_text(json.dumps(calibration(bundle)))
    graph = encoder_graph(bundle)
    python = python_in(OPENVINO_ENVIRONMENT)
    command: Command = [python, "-m", "bench.models.engines.openvino_quantize", bundle / graph.file, ids, unfinished]
    environment = {"PATH": os.defpath, "HOME": str(folder), **QUIET}
    run(command, "OpenVINO's model cannot be made", environment=environment)
    unfinished.with_suffix(".bin").rename(output.with_suffix(".bin"))
    return unfinished.rename(output)


def _calibration(bundle: Path) -> list[Text]:
    model = read_manifest(bundle).section_as(TextModel)
    tokenizer = Tokenizer.from_file(str(bundle / model.main_encoder.tokenizer))
    prompts = sorted(filter(None, model.prompts.values()))
    return [Text(ids.tolist()) for ids in calibration_ids(tokenizer, prompts, model.main_encoder.max_tokens)]


def _heldout_ids(bundle: Path) -> tuple[tuple[int, ...], ...]:
    encoder = read_manifest(bundle).section_as(TextModel).main_encoder
    tokenizer = Tokenizer.from_file(str(bundle / encoder.tokenizer))
    texts = [tuple(tokenizer.encode(text).ids[: encoder.max_tokens]) for text in heldout_texts()]
    return tuple(text for text in texts if text)
