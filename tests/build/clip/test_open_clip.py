"""Repositories that open_clip alone reads are refused, with the one to take instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from build.errors import UnsupportedModel
from build.model.fetch import fetch
from build.model.open_clip import FILES, SAME_MODELS, refuse_open_clip
from build.model.trust import NO_TRUST


@pytest.mark.parametrize("file", FILES)
def test_a_directory_of_open_clip_is_refused(tmp_path: Path, file: str):
    directory = tmp_path / "mine"
    directory.mkdir()
    (directory / file).touch()
    with pytest.raises(UnsupportedModel) as error:
        fetch(str(directory), None, NO_TRUST)
    assert str(error.value) == (
        "mine is in open_clip's format: take a repository that has the same model in transformers' format, "
        "with a config.json that has a model_type"
    )


@pytest.mark.parametrize("model", ["timm/ViT-B-16-SigLIP", "TIMM/vit-b-16-siglip"])
@pytest.mark.parametrize("readable", [False, True])
def test_a_well_known_repository_has_its_twin_named(model: str, readable: bool):
    with pytest.raises(UnsupportedModel) as error:
        refuse_open_clip(model, ["README.md", FILES[0]], readable)
    assert str(error.value) == (
        f"{model} is in open_clip's format: take google/siglip-base-patch16-224, the same model in transformers' format"
    )


@pytest.mark.parametrize("names", [["config.json", "model.safetensors"], ["config.json", *FILES]])
def test_files_of_transformers_are_read_also_beside_those_of_open_clip(names: list[str]):
    refuse_open_clip("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", names, readable=True)


def test_no_twin_is_in_open_clips_format():
    assert not {model.lower() for model in SAME_MODELS} & {model.lower() for model in SAME_MODELS.values()}
