"""Images of kinds other than text, of tiny models: found in the files, lean, locked down, answering as the original."""

from __future__ import annotations

import base64
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder

from build.clip.layout import find_layout as find_clip
from build.clip.original import load_original as load_clip
from build.fidelity.requests import VectorRequest
from build.model.trust import NO_TRUST
from build.static.layout import find_layout
from build.static.original import load_original
from manifest import Kind, Precision, Target
from tests.support.graphs.native_model import reseal
from tests.support.image.containers import (
    LOCKED,
    Container,
    archive,
    docker,
    emulation,
    inspect,
    make_image,
    require_engine,
)
from tests.support.images.samples import SAMPLES, picture_of
from tests.support.models import tiny_models
from tests.support.models.static_models import own_layout, wordpiece
from tests.support.models.tiny_clip import make_network
from tests.support.models.tiny_rerankers import a_reranker

pytestmark = pytest.mark.system

RERANKER = a_reranker("tiny-rerank", "bert", "bert", "Bert")
QUERY = "When does the ferry leave?"
TEXTS = (
    "",
    "zzz",
    "The ferry to the island leaves at seven in the morning.",
    "图书馆今天几点关门? 😀\0",
    "river " * 2000,
)
ASK = """
route, bodies = json.load(sys.stdin)
answers = [ask("POST", route, body) for body in bodies]
print(json.dumps([[status, json.loads(answer)] for status, answer in answers]))
"""


@dataclass(frozen=True)
class Row:
    """A tiny model of a kind, what its server is asked, and what its image may hold."""

    kind: Kind
    precision: Precision
    """The kind's default."""
    make: Callable[[Path], object]
    """Writes the model's files into a directory."""
    route: str
    bodies: tuple[dict[str, Any], ...]
    numbers_of: Callable[[Any], list[float]]
    """The numbers in an answer."""
    original: Callable[[Path], list[NDArray[np.floating]]]
    """The same numbers by the original's own package, for each body."""
    tolerance: float
    """The largest difference of a number."""
    largest: int
    """Bytes of the image without the bundle."""
    fidelity: str
    """What is said of it begins like this."""
    present: tuple[str, ...] = ()
    """Patterns of files that its image has."""
    absent: tuple[str, ...] = ()
    """Patterns of files that its image does without."""
    variables: tuple[str, ...] = ()
    """Of ``make image``, besides the model and the architecture."""


def model2vec(directory: Path) -> list[NDArray[np.floating]]:
    layout = find_layout(directory)
    assert layout is not None
    return list(load_original(directory, layout).embed([VectorRequest(text) for text in TEXTS]))


def cross_encoder(directory: Path) -> list[NDArray[np.floating]]:
    model = CrossEncoder(str(directory), device="cpu", local_files_only=True)
    pairs = [(QUERY, text) for text in TEXTS]
    return [model.predict(pairs, activation_fn=torch.nn.Identity()), model.predict(pairs)]


def clip(directory: Path) -> list[NDArray[np.floating]]:
    layout = find_clip(directory)
    assert layout is not None
    original = load_clip(directory, layout, NO_TRUST)
    images = original.embed_images([picture_of(path) for path in SAMPLES])
    return [np.concatenate([original.embed_texts(list(TEXTS)), images]).ravel()]


ROWS = (
    Row(
        Kind.CLIP,
        Precision.FP32,
        make=make_network,
        route="/vectorize",
        bodies=({"texts": TEXTS, "images": [base64.b64encode(path.read_bytes()).decode() for path in SAMPLES]},),
        numbers_of=lambda answer: [
            number for vector in answer["textVectors"] + answer["imageVectors"] for number in vector
        ],
        original=clip,
        # Networks this small and random keep too little of a vector in int8 to tell a good image from a bad one.
        variables=("PRECISION=fp32",),
        tolerance=1e-4,
        largest=150_000_000,
        fidelity="mean cosine 1.0000",
        present=("/PIL/", "/onnxruntime/"),
    ),
    Row(
        Kind.RERANK,
        Precision.INT8,
        make=lambda directory: tiny_models.copy(RERANKER, directory),
        route="/rerank",
        bodies=tuple(
            {"query": QUERY, "documents": TEXTS, "property": "", **more} for more in ({"raw_scores": True}, {})
        ),
        numbers_of=lambda answer: [entry["score"] for entry in answer["scores"]],
        original=cross_encoder,
        # Of random weights, int8 keeps less than of trained ones. The original's logits are from -0.92 to -0.14.
        tolerance=0.1,
        variables=("MIN_RANK_AGREEMENT=-1", "MIN_TOP_KEPT=0", "MAX_SCORE_ERROR=1"),
        largest=200_000_000,
        fidelity="Kendall's tau",
        present=(r"^app/kernels/lib/libcpu2vec-(amd64|arm64)\.so$", r"/onnxruntime/"),
    ),
    Row(
        Kind.STATIC,
        Precision.STORED,
        make=lambda directory: own_layout(directory, wordpiece()),
        route="/vectors",
        bodies=tuple({"text": text} for text in TEXTS),
        numbers_of=lambda answer: answer["vector"],
        original=model2vec,
        tolerance=1e-6,
        largest=110_000_000,
        fidelity="mean cosine 1.0000",
        absent=(r"libcpu2vec", r"onnxruntime", r"^app/kernels"),
    ),
)


@dataclass(frozen=True)
class Image:
    """An image that ``make image`` has made of a row's model."""

    row: Row
    target: Target
    model: Path
    tag: str
    printed: str
    files: dict[str, tarfile.TarInfo]
    """Everything in its file system, by path without a leading slash."""
    bundle: Path
    """A copy of its bundle."""
    options: tuple[str, ...]
    """How ``docker run`` runs it, locked down."""


@pytest.fixture(
    scope="module",
    params=[(row, target) for row in ROWS for target in Target],
    ids=lambda param: f"{param[0].kind}-{param[1]}",
)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    row, target = request.param
    require_engine()
    home = tmp_path_factory.mktemp("image")
    model = home / f"tiny-{row.kind}"
    row.make(model)
    ran = make_image(f"MODEL={model}", f"ARCH={target}", *row.variables)
    assert ran.returncode == 0, ran.stdout
    tag = f"cpu2vec:tiny-{row.kind}-{row.precision}-{target}"
    try:
        with archive(tag, target) as exported:
            files = {member.name: member for member in exported.getmembers()}
            bundled = [member for name, member in files.items() if name.startswith("bundle/") and member.isfile()]
            exported.extractall(home, bundled, filter="data")
        options = (*LOCKED, "--platform", f"linux/{target}", *emulation(target, home))
        yield Image(row, target, model, tag, ran.stdout, files, home / "bundle", options)
    finally:
        docker("image", "rm", tag)


@pytest.fixture(scope="module")
def container(image: Image) -> Iterator[Container]:
    """It runs, and has answered its golden requests."""
    container = Container(image.tag, *image.options)
    try:
        container.wait_until_ready()
        yield container
    finally:
        container.remove()


def test_the_kind_is_found_in_the_files_and_said(image: Image):
    assert re.search(rf"^kind +{image.row.kind}$", image.printed, re.MULTILINE)
    labels = inspect(image.tag)["Config"]["Labels"]
    assert labels["cpu2vec.kind"] == image.row.kind
    assert (labels["cpu2vec.target"], labels["cpu2vec.precision"]) == (image.target, image.row.precision)
    assert re.search(rf"^fidelity +{image.row.fidelity}", image.printed, re.MULTILINE)


def test_answers_are_the_originals(image: Image, container: Container):
    answers = json.loads(container.python(ASK, [image.row.route, image.row.bodies]))
    assert [status for status, _ in answers] == [200] * len(image.row.bodies)
    for (_, answer), expected in zip(answers, image.row.original(image.model), strict=True):
        np.testing.assert_allclose(image.row.numbers_of(answer), expected, rtol=0, atol=image.row.tolerance)


def test_it_is_not_ready_unless_golden_requests_come_out_right(image: Image):
    golden = json.loads((image.bundle / "golden.json").read_text())
    assert image.row.route in [request["route"] for request in golden["requests"]]
    for request in golden["requests"]:
        request["answer"] = moved(request["answer"])
    (image.bundle / "golden.json").write_text(json.dumps(golden))
    reseal(image.bundle)
    container = Container(image.tag, *image.options, "--volume", f"{image.bundle}:/bundle:ro")
    try:
        assert docker("wait", container.name).strip() != "0"
        assert f"not serving: the golden request {image.row.route}" in container.log()
    finally:
        container.remove()


def moved(answer: Any) -> Any:
    """The same answer with other numbers."""
    if isinstance(answer, dict):
        return {name: moved(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [moved(value) for value in answer]
    return -answer - 1 if isinstance(answer, float) else answer


def test_it_only_holds_what_its_kind_uses(image: Image):
    assert {"app/manifest.py", "app/runtime/__main__.py", "bundle/manifest.json"} <= set(image.files)
    assert [pattern for pattern in image.row.present if not any(re.search(pattern, name) for name in image.files)] == []
    assert [name for name in image.files for pattern in image.row.absent if re.search(pattern, name)] == []


def test_it_is_small(image: Image):
    size = inspect(image.tag)["Size"]
    bundle = sum(member.size for name, member in image.files.items() if name.startswith("bundle/"))
    print(f"{image.row.kind} for {image.target}: {(size - bundle) / 1e6:.1f} MB without the bundle")
    assert size - bundle <= image.row.largest
