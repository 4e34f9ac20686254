"""A CLIP model in its default precision: both towers on the native kernels, through the real build and runtime."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build.model.trust import NO_TRUST
from build.native.encoder import NATIVE_OPS
from build.pipeline import BuildOptions, BuildResult, build_bundle
from build.progress import Progress
from manifest import BundleError, ClipModel, Graph, Layout, Precision, Target, read_manifest
from runtime.inference.image_engine import ImageEngine
from tests.support.bundles.cache import cached
from tests.support.images.samples import SAMPLES
from tests.support.models.tiny_clip import DIM, END, make_network
from tests.support.server.server_process import Server, ready


@dataclass(frozen=True)
class Served:
    server: Server
    bundle: Path
    build: dict[str, Any]
    """What the build said of the bundle."""

    def vectorize(self, **fields: Any) -> tuple[np.ndarray, np.ndarray]:
        with self.server.connect() as connection:
            answer = connection.request("POST", "/vectorize", json.dumps(fields).encode())
        assert answer.status == 200, answer.body
        return np.array(answer.json["textVectors"]), np.array(answer.json["imageVectors"])


SAID = "said.json"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = cached("model-clip-transformers", make_network)

    def make(output: Path) -> None:
        output.mkdir()
        stages = io.StringIO()
        options = BuildOptions(str(directory), None, Target.of_machine(), None, output / "bundle", False, NO_TRUST)
        result: BuildResult = build_bundle(options, Progress(stream=stages))
        said = {"summary": dict(result.summary), "stages": stages.getvalue()}
        (output / SAID).write_text(json.dumps(said))

    made = cached("clip-native", make)
    with ready(made / "bundle", tmp_path_factory.mktemp("log") / "log") as server:
        yield Served(server, made / "bundle", json.loads((made / SAID).read_text()))


IMAGES = [base64.b64encode(path.read_bytes()).decode() for path in SAMPLES[:5]]


def test_both_towers_are_native_by_default(served: Served):
    manifest = read_manifest(served.bundle)
    model = manifest.section_as(ClipModel)
    assert manifest.precision is Precision.INT8
    (text,) = model.text.graphs.values()
    for graph in (text, model.image.graph):
        assert (graph.layout, graph.ops) == (Layout.PACKED, NATIVE_OPS)
    assert model.end is not None
    assert served.build["summary"]["kernels"] == "native"


def test_the_build_has_measured_both_towers(served: Served):
    report = json.loads((served.bundle / "fidelity.json").read_text())
    assert report["images"]["thresholds"] == {"mean": 0.995, "p1": 0.985, "minimum": 0.98}


def test_what_follows_the_end_of_a_text_is_not_read(served: Served):
    found, _ = served.vectorize(texts=["a river", f"a river{END} and a stone", f"a river{END}{END}", "a river and"])
    np.testing.assert_array_equal(found[1:3], found[[0, 0]])
    assert (found[3] != found[0]).any()


def test_an_item_has_the_same_bits_alone_and_beside_others(served: Served):
    texts = ["", "river", "The RIVER, a stone!", "图书馆 🙂", "light under market " * 30]
    together = served.vectorize(texts=texts, images=IMAGES)
    assert together[0].shape == together[1].shape == (5, DIM)
    for index in range(5):
        alone = served.vectorize(texts=[texts[index]], images=[IMAGES[index]])
        np.testing.assert_array_equal(alone[0][0], together[0][index])
        np.testing.assert_array_equal(alone[1][0], together[1][index])


def test_meta_names_the_instruction_set(served: Served):
    with served.server.connect() as connection:
        meta = connection.request("GET", "/meta").json
    assert meta["serving"]["kernels"]


def test_an_image_graph_of_native_ops_needs_their_library(tmp_path: Path):
    graph = Graph("image.onnx", "image.onnx.data", ("pixel_values",), "vectors", Layout.PACKED, NATIVE_OPS)
    with pytest.raises(BundleError, match=r"image.onnx is a graph of native ops, and their library is not loaded"):
        ImageEngine(tmp_path / "image.onnx", graph, 1)
