"""The default name of an image, here and in every page and compose file that names one."""

from __future__ import annotations

import re

import pytest

from build.image.build_image import TAG
from build.names import image_tag
from manifest import Precision, Target
from tests.support.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "deploy").glob("*.yml"))]


@pytest.mark.parametrize("model", ["sentence-transformers/all-MiniLM-L6-v2", ".My Model (v2)", "模型", "x" * 300])
def test_the_default_tag_is_one_that_docker_accepts(model: str):
    assert TAG.fullmatch(image_tag(model, "refs/pr/1", Precision.INT8_STOCK, Target.ARM64))


def test_pages_name_images_as_make_image_does():
    named = {tag for page in PAGES for tag in re.findall(r"cpu2vec:([a-z0-9][\w.-]*)", page.read_text())}
    assert named
    for name in (f"{name}amd64" if name.endswith("-") else name for name in named):  # The page computes the rest.
        model, precision, target = re.fullmatch(rf"(.+)-({'|'.join(Precision)})-({'|'.join(Target)})", name).groups()
        assert image_tag(model, None, precision, target) == f"cpu2vec:{name}"
