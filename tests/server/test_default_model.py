"""The default model in int8: from its package and from a hub, for both targets, as far as its bytes."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import external_data_helper
from sentence_transformers import SentenceTransformer

from build.fidelity.cosine import cosines
from build.fidelity.cpu_classes import PER_TOKEN
from build.fidelity.report import FidelityReport
from build.fidelity.requests import heldout_texts
from build.fidelity.runtime_process import RuntimeClient, serve
from build.model import default_model
from build.model.default_model import MODEL
from build.model.files import content_hash
from manifest import (
    Golden,
    Layout,
    Manifest,
    OpSet,
    Pooling,
    PoolingMode,
    Precision,
    SourceKind,
    check_files,
    from_json,
    read_manifest,
)
from tests.support.paths import ROOT
from tests.support.server import hub_server

ORIGINAL = Path(str(importlib.resources.files(default_model.MODULE))) / "model"
READ = (
    "1_Pooling/config.json",
    "README.md",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
ALIGNMENT = 4096
TEXTS = (
    "",
    "hello world",
    "The ferry to the island leaves at seven in the morning.",
    "图书馆今天几点关门?",
    "😀 [SEP] \0 ÉÀ",
    "word " * 254,
    "word " * 255,
    "a long walk under the market's lights, " * 200,
)


@pytest.fixture(scope="module")
def bundle(default_bundle: Path) -> Path:
    return default_bundle


@pytest.fixture(scope="module")
def manifest(bundle: Path) -> Manifest:
    return read_manifest(bundle)


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[RuntimeClient]:
    with serve(bundle) as client:
        yield client


@pytest.fixture(scope="module")
def original() -> SentenceTransformer:
    return SentenceTransformer(str(ORIGINAL), device="cpu", local_files_only=True)


def test_the_manifest_says_what_the_model_declares(bundle: Path, manifest: Manifest):
    check_files(bundle, manifest, hashes=True)
    text = manifest.section
    assert (manifest.model, manifest.licence, manifest.precision) == (MODEL, "apache-2.0", Precision.INT8)
    encoder = text.main_encoder
    assert (encoder.architecture, text.dim, encoder.max_tokens) == ("bert", 384, 256)
    assert (encoder.pooling, encoder.normalizes) == (Pooling((PoolingMode.MEAN,), include_prompt=True), True)
    assert (text.prompts, text.default_prompt, text.tasks) == ({}, None, {})


def test_fidelity_is_high_and_is_what_serving_the_held_out_texts_gives(
    bundle: Path, manifest: Manifest, client: RuntimeClient, original: SentenceTransformer
):
    fidelity = manifest.fidelity.cosine
    assert fidelity is not None
    assert fidelity.mean >= 0.9985
    assert fidelity.p1 >= 0.996
    assert fidelity.minimum >= 0.99
    texts = heldout_texts()
    assert fidelity.count == len(texts)
    expected = original.encode(texts, batch_size=16)
    measured = cosines(np.stack([client.embed(text) for text in texts]), expected)
    assert fidelity.mean == pytest.approx(measured.mean(), abs=2e-6)
    assert fidelity.p1 == pytest.approx(np.percentile(measured, 1), abs=2e-5)
    assert fidelity.minimum == pytest.approx(measured.min(), abs=2e-5)
    report = from_json(FidelityReport, (bundle / "fidelity.json").read_text(), "fidelity.json").cosine
    assert [found.cpu_class for found in report.classes] == [PER_TOKEN]
    assert report.classes[0].figures == fidelity
    np.testing.assert_allclose([one.cosine for one in report.texts], measured, atol=2e-5)
    tokens = [min(len(original.tokenizer(text)["input_ids"]), 256) for text in texts]
    assert [(one.number, one.tokens) for one in report.texts] == list(enumerate(tokens, 1))
    assert report.worst[0].text == texts[int(np.argmin(measured))]
    page = (bundle / "fidelity.html").read_text()
    assert f"{fidelity.mean:.6f}" in page
    assert len(page.encode()) < 60_000


def test_golden_requests_hold_the_originals_vectors_and_floors_that_were_met(
    bundle: Path, client: RuntimeClient, original: SentenceTransformer
):
    golden = from_json(Golden, (bundle / "golden.json").read_text(), "golden.json")
    assert len(golden.requests) >= 4
    texts = [request.body["text"] for request in golden.requests]
    lengths = [len(original.tokenizer(text)["input_ids"]) for text in texts]
    assert (min(lengths), max(lengths)) == (2, 256)
    for text, request in zip(texts, golden.requests, strict=True):
        expected = original.encode([text])
        vector = np.array([request.answer["vector"]], dtype=np.float32)
        np.testing.assert_allclose(vector, expected, atol=1e-6)
        assert 0.99 < request.tolerance.min_cosine < cosines(client.embed(text)[np.newaxis], expected)[0]


@pytest.mark.parametrize("text", TEXTS)
def test_served_vectors_are_near_the_originals(client: RuntimeClient, original: SentenceTransformer, text: str):
    served = client.embed(text)
    assert served.shape == (384,)
    assert np.linalg.norm(served.astype(np.float64)) == pytest.approx(1, abs=1e-6)
    assert cosines(served[np.newaxis], original.encode([text]))[0] > 0.99


def test_the_source_is_the_package_and_a_hash_of_the_files_that_were_read(manifest: Manifest):
    lines = "".join(f"{hashlib.sha256((ORIGINAL / name).read_bytes()).hexdigest()}  {name}\n" for name in READ)
    assert manifest.source.kind is SourceKind.PACKAGE
    assert manifest.source.revision == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def test_the_hub_has_the_same_files_under_the_name_of_its_commit(tmp_path: Path):
    """A bundle is made of these files alone: from the hub it is the same but for its source."""
    program = (
        "import json, sys; from build.model.fetch import fetch; from build.model.files import content_hash;"
        "from build.model.trust import NO_TRUST; files = fetch(sys.argv[1], 'main', NO_TRUST);"
        "found = content_hash(files.directory, json.loads(sys.argv[2]));"
        "print(json.dumps([files.model, files.source.kind, files.source.revision, found]))"
    )
    with hub_server.running_hub() as hub:
        hub.repositories[MODEL] = repository = hub_server.Repository(hub_server.files_of(ORIGINAL))
        result = subprocess.run(
            [sys.executable, "-c", program, MODEL.lower(), json.dumps(READ)],
            cwd=ROOT,
            env={"PATH": os.defpath, "HF_HOME": str(tmp_path / "cache"), "HF_ENDPOINT": hub.endpoint},
            capture_output=True,
            text=True,
        )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [MODEL, SourceKind.HUB, repository.commit, content_hash(ORIGINAL, READ)]


def test_the_weights_lie_on_pages_so_that_they_can_be_mapped(bundle: Path):
    model = onnx.load(bundle / "model.onnx", load_external_data=False)
    outside = [tensor for tensor in model.graph.initializer if external_data_helper.uses_external_data(tensor)]
    places = [{entry.key: entry.value for entry in tensor.external_data} for tensor in outside]
    assert {place["location"] for place in places} == {"model.onnx.data"}
    assert all(int(place["offset"]) % ALIGNMENT == 0 for place in places)
    assert (bundle / "model.onnx").stat().st_size < 1_000_000


def test_weights_have_a_byte_and_a_scale_for_each_group_of_channels_or_row_of_a_table(bundle: Path):
    """Six layers of a 384 x 1152 matrix, a 384 x 384, a 384 x 1536 and a 1536 x 384, and the table of words.

    Groups have at most 320 channels. Where the largest between the last two are repeated, there are 16 more.
    """
    model = onnx.load(bundle / "model.onnx", load_external_data=False)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    weights = [tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    treatments = from_json(FidelityReport, (bundle / "fidelity.json").read_text(), "fidelity.json").weight_records
    repeated = [one.repeated for one in treatments if one.shape == (1536, 384)]
    assert len(repeated) == 6
    assert set(repeated) <= {0, 16}
    wide = [1536 + extra for extra in repeated]
    products = [(384, 1152), (384, 384)] * 6 + [shape for width in wide for shape in ((384, width), (width, 384))]
    packed = [(outputs // 16, inputs // 4, 16, 4) for inputs, outputs in products]
    assert sorted(shapes[name] for name in weights) == sorted([*packed, (30522, 384)])
    scales = sorted(shapes[name] for name in shapes if name.endswith("scale"))
    assert scales == sorted([*((2 if inputs == 384 else 5, outputs) for inputs, outputs in products), (30522,)])


def test_the_graph_is_of_the_native_kernels_ops(bundle: Path, manifest: Manifest):
    graph = manifest.section.graphs["model"]
    assert (graph.layout, graph.ops) == (Layout.PACKED, OpSet("cpu2vec", 7))
    report = from_json(FidelityReport, (bundle / "fidelity.json").read_text(), "fidelity.json")
    assert report.cosine.classes[0].cpu_class == PER_TOKEN
    assert report.stock_kernels == {}


def test_every_weight_in_8_bits_is_in_the_report_with_what_it_costs(bundle: Path):
    treatments = from_json(FidelityReport, (bundle / "fidelity.json").read_text(), "fidelity.json").weight_records
    products = [one for one in treatments if one.rounding == "gptq"]
    assert (len(treatments), len(products)) == (37, 36)
    assert all(one.error is not None and 0 < one.error < 0.03 for one in products)
    (table,) = (one for one in treatments if one.rounding == "nearest")
    assert (table.weight, table.storage) == ("embeddings.word_embeddings.weight", "int8, one scale per row")


def test_the_bundle_is_about_a_quarter_of_the_weights(bundle: Path):
    stored = (bundle / "model.onnx.data").stat().st_size
    assert stored < 0.27 * (ORIGINAL / "model.safetensors").stat().st_size
