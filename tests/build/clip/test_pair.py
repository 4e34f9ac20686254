"""Two models that make one bundle: what is refused, and how the bundle is called."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from build.errors import InvalidOption, OutputNotAllowed, UnsupportedModel
from build.image.labels import Project, image_labels
from build.kinds.clip_pair import PairBuild
from build.model.fetch import fetch_models
from build.model.trust import NO_TRUST
from build.names import ModelNames, bundle_name, image_tag, joined
from build.pipeline import BuildOptions, Described, build_bundle, fetch_and_describe
from build.progress import Progress
from manifest import ClipModel, ImageSource, Kind, Precision, Target
from tests.support.bundles.clip_models import IMAGE
from tests.support.bundles.text_models import a_text_model
from tests.support.image.fake_docker import a_manifest
from tests.support.json_files import change
from tests.support.models.tiny_clip import DIM, make_pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pair(tmp_path_factory.mktemp("pair") / "pair")


def options(model: Path, image_model: Path, **more: Any) -> BuildOptions:
    given = {"precision": None, "output": None, "force": False, **more}
    return BuildOptions(str(model), None, Target.AMD64, image_model=str(image_model), **given)


def described(model: Path, image_model: Path) -> Described:
    return fetch_and_describe(options(model, image_model), Progress(stream=io.StringIO()))


def test_it_is_of_the_kind_of_the_model_that_reads_images(pair: Path):
    found = described(pair / "texts", pair / "images")
    assert found.kind is Kind.CLIP
    assert isinstance(found.build, PairBuild)
    assert found.files.name == "texts + images"
    assert found.build.weights.fp32 > found.build.text.weights.fp32 > 0


def test_vectors_of_another_length_are_refused(pair: Path, tmp_path: Path):
    texts = Path(shutil.copytree(pair / "texts", tmp_path / "texts"))
    shutil.rmtree(texts / "2_Dense")
    change(texts / "modules.json", lambda modules: modules.pop())
    with pytest.raises(UnsupportedModel, match=rf"texts and images are no pair: .* have \d+ and {DIM} numbers"):
        described(texts, pair / "images")


def test_a_model_for_texts_cannot_read_images(pair: Path):
    with pytest.raises(UnsupportedModel, match="--image-model must be a CLIP model: texts is of kind text"):
        described(pair / "texts", pair / "texts")


def test_no_bundle_is_written_over_either_model(pair: Path):
    for name in ("texts", "images"):
        with pytest.raises(OutputNotAllowed):
            build_bundle(options(pair / "texts", pair / "images", output=pair / name, force=True), Progress())


@pytest.mark.parametrize(
    ("models", "name"),
    [
        (("org/texts", None), "org/texts"),
        (("org/texts", "org/images"), "org/texts + org/images"),
        (("./my texts/", "../images"), "my texts + images"),
    ],
)
def test_both_models_are_in_the_name(models: tuple[str, str | None], name: str):
    assert joined(*models) == name


def test_a_revision_of_images_is_in_the_name_and_in_the_manifest(pair: Path):
    found = described(pair / "texts", pair / "images")
    assert isinstance(found.build, PairBuild)
    images = replace(found.build.images, requested_revision="v3")
    source = replace(found.build, images=images).source
    assert source == ImageSource("images", images.source.revision, "v3")
    assert source.revision.startswith("sha256:")
    assert bundle_name("org/texts + org/images", "v1", "fp32", "arm64", "v3") == (
        "org-texts-org-images-v1-images-v3-fp32-arm64"
    )


@pytest.mark.parametrize(
    ("image_model", "reason"),
    [
        (None, "selects a version of --image-model, and there is none: leave --image-revision out"),
        ("./images", "selects a version on the hub, and ./images is on this machine: leave --image-revision out"),
    ],
)
def test_a_revision_of_no_model_on_the_hub_is_refused(image_model: str | None, reason: str):
    with pytest.raises(InvalidOption) as error:
        fetch_models(ModelNames("org/texts", None, image_model, "v3"), NO_TRUST)
    assert str(error.value) == f"--image-revision v3 {reason}"


def test_both_models_are_in_the_tag_and_in_labels_and_none_is_linked():
    name = joined("sentence-transformers/clip-ViT-B-32-multilingual-v1", "sentence-transformers/clip-ViT-B-32")
    tag = image_tag(name, None, Precision.INT8_STOCK, Target.AMD64)
    both = "sentence-transformers-clip-vit-b-32-multilingual-v1-sentence-transformers-clip-vit-b-32"
    assert tag == f"cpu2vec:{both}-int8-stock-amd64"
    images = replace(IMAGE, source=ImageSource("sentence-transformers/clip-ViT-B-32", "decade"))
    manifest = a_manifest(model=name, kind=Kind.CLIP, section=ClipModel(a_text_model(), images))
    labels = image_labels(manifest, Project(None, None, None))
    assert labels["cpu2vec.model"] == name
    assert labels["cpu2vec.image_model"] == "sentence-transformers/clip-ViT-B-32"
    assert labels["cpu2vec.image_model.revision"] == "decade"
    assert "cpu2vec.model.url" not in labels
