"""int8 on an x86 CPU without VNNI, as QEMU plays it: signed weights must not saturate, native kernels use AVX2."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bench.bundles import unverified_bundle
from build.fidelity.cosine import cosines
from build.fidelity.runtime_process import ROOT, RUNTIME_PYTHON
from build.model.default_model import MODEL
from build.precisions import PRECISIONS
from manifest import Precision

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="about x86"),
]

QEMU = "qemu-x86_64-static"
AVX2_ONLY = ("-cpu", "Haswell")

TEXTS = ["", "The ferry leaves at seven.", "图书馆今天几点关门?", "stones and rivers " * 30]

PROGRAM = """
import json, sys
from pathlib import Path
from manifest import ONLY_ENCODER
from runtime.bundle import open_bundle
from runtime.text.request import default_request
from runtime.text.embedder import Embedder
from runtime.inference.engine import open_engine
from runtime.text.head import read_head
from runtime.inference.native_ops import load_native_ops
from runtime.inference.padded_engine import signed_weights_saturate
from runtime.text.tokenizer import Tokenizer
from runtime.text.long_text import LongText
from runtime.text.windows import Windows

bundle = open_bundle(Path(sys.argv[1]))
model = bundle.manifest.section
encoder = model.main_encoder
graph = model.graphs[encoder.graph]
windows = Windows(Tokenizer(bundle.directory / encoder.tokenizer), encoder.max_tokens, LongText.TRUNCATE)
head = read_head(bundle.directory, model.encoders)[ONLY_ENCODER]
kernels = load_native_ops([graph.ops], *sys.argv[2:])
engine = open_engine(bundle.directory / graph.file, graph, 2, kernels)
embedder = Embedder(encoder, windows, engine, head)
requests = [default_request(model, text) for text in json.load(sys.stdin)]

def embed(request, cores):
    steps = embedder.begin(request)
    try:
        run, _ = next(steps)
        while True:
            run, _ = steps.send(run.engine.run(run.batch, cores) if run else None)
    except StopIteration as end:
        return end.value.tolist()

vectors, wide = ([embed(request, cores) for request in requests] for cores in (1, 2))
answer = {"saturates": signed_weights_saturate(), "kernels": kernels and kernels.isa, "vectors": vectors, "wide": wide}
json.dump(answer, sys.stdout)
"""


@pytest.fixture(scope="module")
def stock_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the default model, in onnxruntime's own kernels."""
    output = tmp_path_factory.mktemp("stock") / "bundle"
    return unverified_bundle(MODEL, PRECISIONS[Precision.INT8_STOCK], output)


def embed(bundle: Path, *emulator: str, isa: str | None = None) -> dict:
    forced = [isa] if isa else []
    result = subprocess.run(
        [*emulator, RUNTIME_PYTHON, "-c", PROGRAM, bundle, *forced],
        cwd=ROOT,
        env={"PATH": os.defpath},
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        check=True,
        timeout=1800,
    )
    return json.loads(result.stdout)


def test_onnxruntimes_kernels_give_the_same_without_vnni(stock_bundle: Path):
    assert shutil.which(QEMU), f"{QEMU} is missing: install qemu-user-static"
    here, emulated = embed(stock_bundle), embed(stock_bundle, QEMU, *AVX2_ONLY)
    assert emulated["saturates"], "QEMU does not play a CPU whose products saturate: nothing was tested"
    # Saturated products move components by 3e-2. Sums in another order move them by 2e-8, and, where that tips an
    # activation over to the next of 256 steps, by some 1e-4.
    np.testing.assert_allclose(emulated["vectors"][:-1], here["vectors"][:-1], atol=2e-3)
    # The last text says the same thirty times, which tips over thirty times at once: 3e-3 was seen, at a cosine of
    # 0.99986, and the same distance to the original. Saturated products leave 0.9907.
    assert cosines(np.array(emulated["vectors"]), np.array(here["vectors"])).min() > 0.9995
    assert emulated["wide"] == emulated["vectors"]


def test_native_kernels_choose_avx2_there_and_give_what_avx2_gives_on_a_newer_cpu(default_bundle: Path):
    here, emulated = embed(default_bundle, isa="avx2"), embed(default_bundle, QEMU, *AVX2_ONLY)
    assert emulated["kernels"] == here["kernels"] == "avx2"
    assert emulated["vectors"] == here["vectors"]
    assert emulated["wide"] == emulated["vectors"]


def test_one_core_and_two_give_the_same_bits(default_bundle: Path, stock_bundle: Path):
    for bundle in (default_bundle, stock_bundle):
        here = embed(bundle)
        assert here["wide"] == here["vectors"]
