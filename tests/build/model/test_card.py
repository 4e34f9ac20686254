"""The license of a model's card, read as huggingface_hub reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from huggingface_hub.repocard import metadata_load

from build.model.card import read_licence

CARDS = [
    ("---\nlicense: apache-2.0\n---\n# Model\n", "apache-2.0"),
    ("---\r\nlicense: mit\r\n---\r\n", "mit"),
    ("\n\n---\nlicense: mit\n---", "mit"),
    ("---\n\nlicense: mit\n\n---\n# Model\n---\nlicense: other\n---\n", "mit"),
    ("---\nlanguage: en\nlicense: other\nlicense_name: special\n---\n", "other"),
    ("---\nlicense: [mit, apache-2.0]\n---\n", None),
    ("---\nlicense: no\n---\n", None),
    ("---\nlanguage: en\n---\nlicense: mit\n", None),
    ("---\nlicense: mit\n", None),
    ("---\nlicense: mit\n----\n", None),
    ("# Model\nlicense: mit\n", None),
    ("# Model\n---\nlicense: mit\n---\n", None),
    ("---\n- license: mit\n---\n", None),
    ("---\nlicense: [mit\n---\n", None),
    ("---\nlicense: mit\ndate: 2020-99-99\n---\n", None),
    ("---\nlicense: !!python/object/apply:os.getcwd []\n---\n", None),
    ("---\n---\n", None),
    ("", None),
]


@pytest.mark.parametrize(("card", "licence"), CARDS)
def test_the_licence_is_the_cards(tmp_path: Path, card: str, licence: str | None):
    (tmp_path / "README.md").write_bytes(card.encode())
    assert read_licence(tmp_path) == licence


@pytest.mark.parametrize("card", [card for card, _ in CARDS])
def test_the_hubs_own_loader_finds_the_same(tmp_path: Path, card: str):
    path = tmp_path / "README.md"
    path.write_bytes(card.encode())
    try:
        found = (metadata_load(path) or {}).get("license")
    except (yaml.YAMLError, ValueError):
        found = None
    assert read_licence(tmp_path) == (found if isinstance(found, str) else None)


def test_a_card_that_is_not_utf_8_still_has_its_licence(tmp_path: Path):
    (tmp_path / "README.md").write_bytes("---\nlicense: mit\n---\n# Modèle\n".encode("latin-1"))
    assert read_licence(tmp_path) == "mit"


def test_without_a_card_there_is_no_licence(tmp_path: Path):
    assert read_licence(tmp_path) is None
