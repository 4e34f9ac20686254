"""Gets a model ready for every engine: bundles, OpenVINO's graph, the original, and texts as token ids."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer

from bench.bundles import unverified_bundle
from bench.environment import ensure_environment
from bench.errors import SetupFailed
from bench.models.process import QUIET, python_of
from bench.models.random_model import SHAPES, write_model
from bench.models.rows import Files, System
from bench.server.systems import ROOT
from build.fidelity.heldout import heldout_texts
from build.host.machine import host_target
from build.model.describe import describe
from build.model.fetch import fetch
from build.model.files import CONFIG
from build.model.json_files import read_object
from build.model.trust import NO_TRUST
from build.precisions import recipe_for
from build.quantization.calibration_texts import calibration_ids
from manifest import Precision, read_manifest

RANDOM = "random:"
"""In front of a shape's name: a model of bench.models.random_model."""

OPENVINO_ENVIRONMENT = ROOT / ".venv" / "openvino"
OPENVINO_REQUIREMENTS = ROOT / "bench" / "openvino-requirements.txt"


@dataclass(frozen=True)
class PreparedModel:
    """``files``: what each engine loads; ``texts``: token ids of the held-out texts, none for random weights."""

    name: str
    files: dict[Files, Path]
    positions: int | None
    texts: tuple[tuple[int, ...], ...]

    def size(self, files: Files) -> int:
        """Bytes on disk of all that belongs to them."""
        path = self.files[files]
        if files is Files.OPENVINO:
            return sum(each.stat().st_size for each in path.parent.glob(f"{path.stem}.*"))
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def prepare(model: str, systems: Sequence[System], scratch: Path) -> PreparedModel:
    """What lies in ``scratch`` from an earlier run is used. Raises ``BenchError`` and ``BuildError``."""
    folder = scratch / model.strip("./").replace("/", "-").replace(":", "-").lower()
    folder.mkdir(parents=True, exist_ok=True)
    name = str(_random_model(model, folder)) if model.startswith(RANDOM) else model
    source = fetch(name, None, NO_TRUST).directory
    encoder = (description := describe(source, trust_remote_code=False)).encoders[description.main_encoder]
    wanted = {system.files for system in systems}
    # OpenVINO's graph is made from the one in fp32
    bundles = wanted - {Files.OPENVINO, Files.ORIGINAL} | ({Files.FP32} if Files.OPENVINO in wanted else set())
    files = {each: _bundle(name, each, folder) for each in sorted(bundles)}
    if Files.OPENVINO in wanted:
        files[Files.OPENVINO] = _quantized_by_openvino(files[Files.FP32], folder)
    if Files.ORIGINAL in wanted:
        files[Files.ORIGINAL] = encoder.folder
    texts = () if model.startswith(RANDOM) else _heldout_ids(next(files[each] for each in sorted(bundles)))
    return PreparedModel(model, files, encoder.family.positions(read_object(encoder.folder, CONFIG)), texts)


def _random_model(model: str, folder: Path) -> Path:
    shape = model.removeprefix(RANDOM)
    if shape not in SHAPES:
        raise SetupFailed(f"{model}: the shape must be one of {', '.join(SHAPES)}")
    directory, unfinished = folder / "original", folder / "original.unfinished"
    if not directory.is_dir():
        unfinished.mkdir(exist_ok=True)
        write_model(unfinished, SHAPES[shape], outliers=True)
        unfinished.rename(directory)
    return directory


def _bundle(model: str, files: Files, folder: Path) -> Path:
    target = host_target()
    recipes = {
        Files.NATIVE: recipe_for(Precision.INT8, target),
        Files.STOCK: replace(recipe_for(Precision.INT8_STOCK, target), prepare=False),
        Files.FP32: recipe_for(Precision.FP32, target),
    }
    output = folder / files
    return output if output.is_dir() else unverified_bundle(model, recipes[files], output)


def _quantized_by_openvino(bundle: Path, folder: Path) -> Path:
    ensure_environment(OPENVINO_ENVIRONMENT, OPENVINO_REQUIREMENTS)
    output, unfinished, ids = folder / "openvino.xml", folder / "unfinished.xml", folder / "calibration.json"
    if output.is_file():
        return output
    model = read_manifest(bundle).text
    encoder = model.main_encoder
    tokenizer = Tokenizer.from_file(str(bundle / encoder.tokenizer))
    texts = calibration_ids(tokenizer, sorted(filter(None, model.prompts.values())), encoder.max_tokens)
    ids.write_text(json.dumps([text.tolist() for text in texts]))
    graph = bundle / model.graphs[encoder.graph].file
    command = [python_of("openvino"), "-m", "bench.models.engines.openvino_quantize", graph, ids, unfinished]
    try:
        environment = {"PATH": os.defpath, "HOME": str(folder), **QUIET}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=sys.stderr)
    except subprocess.CalledProcessError as error:
        raise SetupFailed(f"OpenVINO's model cannot be made: {error}") from None
    unfinished.with_suffix(".bin").rename(output.with_suffix(".bin"))
    return unfinished.rename(output)


def _heldout_ids(bundle: Path) -> tuple[tuple[int, ...], ...]:
    encoder = read_manifest(bundle).text.main_encoder
    tokenizer = Tokenizer.from_file(str(bundle / encoder.tokenizer))
    texts = [tuple(tokenizer.encode(text).ids[: encoder.max_tokens]) for text in heldout_texts()]
    return tuple(text for text in texts if text)
