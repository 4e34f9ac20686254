"""A model of more than 2 GB, of bge-m3's size: built within three times its weights, served, and compared."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench.process_tree import tree
from build.errors import BuildError
from build.fidelity.cosine import cosines
from build.fidelity.requests import heldout_texts
from build.fidelity.runtime_process import ROOT
from build.host.resources import available_memory, check_resources, free_disk
from manifest import MANIFEST_FILE, Precision, read_manifest
from tests.support.models.large_model import WEIGHTS_FP32, write_large_model
from tests.support.server import server_process

pytestmark = pytest.mark.system

TWO_GB = 2**31
PEAK_FACTOR = 3
LEAST_COSINE = 0.99
"""Of int8 here: random weights lose less than trained ones, and a wrong scale or a mixed-up matrix loses all."""

TEXTS = heldout_texts()[::60]
SECONDS = 3600


@dataclass(frozen=True)
class LargeModel:
    """On disk, with the vectors of ``TEXTS`` as sentence-transformers gives them in fp32."""

    directory: Path
    weights: int
    expected: np.ndarray


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LargeModel]:
    home = tmp_path_factory.mktemp("large")
    try:
        check_resources(WEIGHTS_FP32, available_memory(), free_disk(home) - WEIGHTS_FP32, home / "bundle")
    except BuildError as error:
        pytest.skip(f"this machine is too small: {error}")
    try:
        weights = write_large_model(home / "model")
        yield LargeModel(home / "model", weights, embed_original(home / "model"))
    finally:
        shutil.rmtree(home)


def embed_original(directory: Path) -> np.ndarray:
    import torch
    from sentence_transformers import SentenceTransformer

    original = SentenceTransformer(str(directory), device="cpu", model_kwargs={"torch_dtype": torch.float32})
    vectors = np.stack([original.encode(text) for text in TEXTS])
    del original
    gc.collect()
    return vectors


def resident(pids: list[int]) -> int:
    """Bytes of memory that the processes hold now; what several of them map counts in each."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/statm").read_text().split()
        except OSError:
            continue
        total += int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0
    return total


def quantize(model: Path, precision: Precision, output: Path) -> int:
    """Run the command line; the most memory that it and the processes below it held at one moment, in bytes."""
    command = [sys.executable, "quantize.py", model, "--precision", precision, "--output", output]
    environment = {"PATH": os.defpath, "HOME": str(output.parent), "HF_HUB_OFFLINE": "1"}
    log = output.parent / f"{precision}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=stream)
    peak, deadline = 0, time.monotonic() + SECONDS
    try:
        while process.poll() is None:
            assert time.monotonic() < deadline, f"the build hangs: {log.read_text()}"
            peak = max(peak, resident(tree(process.pid)))
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, log.read_text()
    return peak


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.FP32])
def test_a_model_above_2_gb_is_built_served_and_compared(large: LargeModel, precision: Precision, tmp_path: Path):
    assert large.weights == WEIGHTS_FP32 > TWO_GB
    output = tmp_path / "bundle"
    try:
        peak = quantize(large.directory, precision, output)
        assert peak <= PEAK_FACTOR * large.weights
        manifest = read_manifest(output)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", f"{precision}.log"]
        assert sorted([*manifest.files, MANIFEST_FILE]) == sorted(path.name for path in output.iterdir())
        with server_process.ready(output, tmp_path / "server.log") as server:
            served = np.array([server.embed(text).json["vector"] for text in TEXTS], dtype=np.float32)
        assert served.shape == large.expected.shape
        if precision is Precision.FP32:
            assert manifest.files["model.onnx.data"].size > TWO_GB
            np.testing.assert_allclose(served, large.expected, rtol=0, atol=1e-5 * max(1, np.abs(large.expected).max()))
        else:
            assert cosines(served, large.expected).min() > LEAST_COSINE
    finally:
        shutil.rmtree(output, ignore_errors=True)
