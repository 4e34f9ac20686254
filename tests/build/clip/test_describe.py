from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build.clip.describe import ClipDescription, describe_clip
from build.clip.layout import find_layout
from build.clip.processor import PROCESSOR
from build.errors import BuildError, ModelNotFound, UnsupportedModel
from build.kinds import kind_of
from build.model.files import CONFIG, MODULES, files_below, wanted_files
from build.model.sentence_modules import TensorNames
from build.model.trust import NO_TRUST
from manifest import Kind, LayerKind, PoolingMode, Resample
from tests.support.json_files import change, write
from tests.support.models.tiny_clip import DIM, LIMIT, SIDE, make_network, make_sentence_model, make_siglip


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clip")
    return {
        "transformers": make_network(folder / "transformers"),
        "sentence-transformers": make_sentence_model(folder / "sentence-transformers"),
    }


@pytest.fixture
def network(networks: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(networks["transformers"], tmp_path / "network"))


def described(directory: Path) -> ClipDescription:
    return describe_clip(directory)


@pytest.mark.parametrize("layout", ["transformers", "sentence-transformers"])
def test_both_layouts_are_recognized_and_described(networks: dict[str, Path], layout: str):
    directory = networks[layout]
    assert kind_of(directory)[0] is Kind.CLIP
    found = described(directory)
    assert (found.dim, found.text.max_tokens, found.pixels.side) == (DIM, LIMIT, SIDE)
    assert found.layout.normalizes == (layout == "transformers")
    assert found.text.pooling.modes == (PoolingMode.LAST_TOKEN,)
    kinds = [layer.kind for layer in found.text.layers]
    assert kinds == [LayerKind.DENSE, *([LayerKind.NORMALIZE] if layout == "transformers" else [])]


@pytest.mark.parametrize("layout", ["transformers", "sentence-transformers"])
def test_the_image_processors_file_is_downloaded(networks: dict[str, Path], layout: str):
    names = wanted_files(files_below(networks[layout]), NO_TRUST)
    assert [name for name in names if name.endswith(PROCESSOR)]


def test_a_config_may_leave_out_what_has_its_default(network: Path):
    change(network / CONFIG, lambda config: config["vision_config"].pop("num_channels", None))
    change(network / CONFIG, lambda config: config["text_config"].pop("max_position_embeddings"))
    assert described(network).text.max_tokens == 77


@pytest.mark.parametrize("size", [SIDE, {"shortest_edge": SIDE}])
def test_older_files_have_a_number_for_a_size(network: Path, size: Any):
    change(network / PROCESSOR, lambda stored: stored.update(size=size, crop_size=SIDE))
    assert described(network).pixels.short_side == SIDE


@pytest.mark.parametrize("name", ["CLIPImageProcessor", "CLIPFeatureExtractor", "CLIPImageProcessorFast"])
def test_the_processor_has_had_several_names(network: Path, name: str):
    change(network / PROCESSOR, lambda stored: stored.update(image_processor_type=name))
    assert described(network).pixels.side == SIDE


@pytest.fixture
def siglip(tmp_path: Path) -> Path:
    return make_siglip(tmp_path / "siglip")


def test_siglip_is_described(siglip: Path):
    assert kind_of(siglip)[0] is Kind.CLIP
    found = described(siglip)
    assert (found.dim, found.text.max_tokens, found.layout.normalizes) == (DIM, LIMIT, False)
    assert (found.pixels.stretches, found.pixels.resample) == (True, Resample.BICUBIC)
    (projection,) = found.text.layers
    assert projection.tensors == TensorNames("", "text_model.head.weight", "text_model.head.bias")
    # Every text is padded to the limit.
    assert (found.text.memory.per_token, found.text.memory.per_pair) == (0, 0)
    change(siglip / PROCESSOR, lambda stored: stored.update(resample=2))
    assert described(siglip).pixels.resample == Resample.BILINEAR


def test_vectors_of_texts_and_images_have_the_same_length(siglip: Path):
    change(siglip / CONFIG, lambda config: config["text_config"].update(projection_size=DIM + 1))
    with pytest.raises(UnsupportedModel) as error:
        described(siglip)
    assert str(error.value) == f"{CONFIG}: vectors of texts and of images have {DIM + 1} and {DIM} numbers"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resample": 0}, "resample must be 3 (bicubic) or 2 (bilinear), not 0"),
        ({"do_resize": False}, "do_resize must be true, not False"),
        (
            {"image_processor_type": "CLIPImageProcessor"},
            "CLIPImageProcessor is not supported; it must be SiglipImageProcessor",
        ),
        (
            {"size": {"height": 32, "width": 9}},
            "a size must be height and width, the same number, not {'height': 32, 'width': 9}",
        ),
    ],
)
def test_another_processor_of_siglip_is_refused_by_name(siglip: Path, changes: dict[str, Any], message: str):
    change(siglip / PROCESSOR, lambda stored: stored.update(changes))
    with pytest.raises(UnsupportedModel) as error:
        described(siglip)
    assert str(error.value) == f"{PROCESSOR}: {message}"


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another processor": (
        lambda stored: stored.update(image_processor_type="SiglipImageProcessor"),
        f"{PROCESSOR}: SiglipImageProcessor is not supported; it must be CLIPImageProcessor",
    ),
    "no crop": (
        lambda stored: stored.update(do_center_crop=False),
        f"{PROCESSOR}: do_center_crop must be true, not False",
    ),
    "another filter": (
        lambda stored: stored.update(resample=2),
        f"{PROCESSOR}: resample must be 3 (bicubic), not 2",
    ),
    "squeezed": (
        lambda stored: stored.update(size={"height": SIDE, "width": SIDE}),
        f"{PROCESSOR}: a size must be shortest_edge, the same number, not {{'height': {SIDE}, 'width': {SIDE}}}",
    ),
    "not square": (
        lambda stored: stored.update(crop_size={"height": SIDE, "width": 9}),
        f"{PROCESSOR}: a size must be height and width, the same number, not {{'height': {SIDE}, 'width': 9}}",
    ),
    "larger crop": (
        lambda stored: stored.update(crop_size={"height": 99, "width": 99}),
        f"{PROCESSOR}: pixels.side must be at most {SIDE}, not 99",
    ),
    "two channels": (
        lambda stored: stored.update(image_mean=[0.5, 0.5]),
        f"{PROCESSOR}: pixels.mean must have 3 numbers, not 2",
    ),
    "no number": (
        lambda stored: stored.update(rescale_factor="much"),
        f"{PROCESSOR}: could not convert string to float: 'much'",
    ),
    "another size": (
        lambda stored: stored.update(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}),
        f"{PROCESSOR} makes images 64 pixels wide, and the network reads {SIDE}",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_processor_that_does_something_else_is_refused_by_name(network: Path, name: str):
    edit, message = REFUSED[name]
    change(network / PROCESSOR, edit)
    with pytest.raises(UnsupportedModel) as error:
        described(network)
    assert str(error.value) == message


def test_a_model_without_a_processor_is_incomplete(network: Path):
    (network / PROCESSOR).unlink()
    with pytest.raises(ModelNotFound, match=f"has no {PROCESSOR}: how images are read is unknown"):
        described(network)


def test_a_module_after_clips_is_refused_by_name(networks: dict[str, Path], tmp_path: Path):
    directory = shutil.copytree(networks["sentence-transformers"], tmp_path / "more")
    normalize = {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"}
    change(directory / MODULES, lambda modules: modules.append(normalize))
    with pytest.raises(UnsupportedModel, match="Normalize is not supported after CLIPModel"):
        described(directory)


def test_a_module_of_another_model_type_is_refused(networks: dict[str, Path], tmp_path: Path):
    directory = shutil.copytree(networks["sentence-transformers"], tmp_path / "other")
    change(directory / "0_CLIPModel" / CONFIG, lambda config: config.update(model_type="siglip"))
    with pytest.raises(UnsupportedModel, match="the model_type siglip is not supported; it must be clip"):
        described(directory)


TOWERS = {"text_config": {}, "vision_config": {}}
SUPPORTED = "clip, metaclip_2 or siglip"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "siglip2"}, "the model_type siglip2 is not supported; it is SigLIP 2 for images of any"),
        (
            {"model_type": "siglip2"},
            "(NaFlex): take one whose images have one size, such as google/siglip2-base-patch16-224",
        ),
        ({"model_type": "modernvbert"}, "it is ModernVBERT: take a model of another network, such as google/siglip2-"),
        ({"model_type": "blip", **TOWERS}, f"the model_type blip is not supported; it must be {SUPPORTED}"),
        (
            {"model_type": "jina_clip", "auto_map": {"AutoModel": "a--b.C"}, **TOWERS},
            f"(auto_map), which no build runs for texts and images: take one whose model_type is {SUPPORTED}",
        ),
        ({"model_type": "clip", "auto_map": {"AutoModel": "b.C"}}, "brings its own code"),
    ],
)
def test_another_network_of_texts_and_images_is_refused_by_name(tmp_path: Path, config: dict[str, Any], words: str):
    write(tmp_path / CONFIG, config)
    assert kind_of(tmp_path)[0] is Kind.CLIP
    with pytest.raises(UnsupportedModel) as error:
        described(tmp_path)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {CONFIG: {"model_type": "bert"}},
        {CONFIG: []},
        {CONFIG: "not JSON"},
        {MODULES: {}},
        {MODULES: []},
        {MODULES: ["text"]},
        {MODULES: [{"type": "sentence_transformers.models.Transformer"}]},
        {MODULES: [{"type": "sentence_transformers.models.CLIPModel", "path": "../outside"}]},
        {MODULES: [{"type": "sentence_transformers.models.CLIPModel", "path": "/outside"}]},
        {MODULES: [{"type": "foreign.CLIPModel", "path": ""}]},
    ],
)
def test_other_directories_are_no_clip_models(tmp_path: Path, files: dict[str, Any]):
    for name, value in files.items():
        write(tmp_path / name, value if isinstance(value, str) else json.dumps(value))
    assert find_layout(tmp_path) is None
    with pytest.raises(BuildError):
        described(tmp_path)
