from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build.clip.describe import PROCESSOR, ClipDescription, describe_clip
from build.clip.layout import find_layout
from build.errors import BuildError, ModelNotFound, UnsupportedModel
from build.kinds import kind_of
from build.model.files import CONFIG, MODULES, files_below, wanted_files
from build.model.trust import NO_TRUST
from manifest import Kind, LayerKind, PoolingMode
from tests.support.json_files import change, write
from tests.support.models.tiny_clip import DIM, LIMIT, SIDE, make_network, make_sentence_model


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
        f"{PROCESSOR} crops images to 64 pixels, and the network reads {SIDE}",
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
