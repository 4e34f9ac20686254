"""docs/models.md says what a build does: models, families, modules, and the messages of what it refuses."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build.errors import BuildError
from build.host.resources import check_resources
from build.model.describe import describe
from build.model.families import FAMILIES, Family
from build.model.files import wanted_files
from build.model.open_clip import refuse_open_clip
from build.model.sentence_modules import ACTIVATIONS, LAYERS
from build.model.trust import NO_TRUST
from manifest import PoolingMode
from tests.support.json_files import write
from tests.support.models.model_table import TABLE
from tests.support.pages import MODELS, in_code, section, table
from tests.support.paths import ROOT

CELLS = ("architecture", "tokenizer", "pooling", "dense", "normalize", "dim", "max_tokens", "prompts")


class TestModels:
    """docs/models.md"""

    def test_the_table_is_that_of_the_list_with_what_checks_each(self):
        listed = csv.DictReader((ROOT / "tests" / "data" / "models.csv").read_text(encoding="utf-8").splitlines())
        assert table(MODELS) == [
            [f"`{row['model']}`", *(row[cell] for cell in CELLS), f"`{TABLE[row['model']].name}`"]
            for row in listed
            if row["kind"] == "text"
        ]

    @pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.architectures[0])
    def test_every_family_is_named(self, family: Family):
        rows = [row for row in table(section(MODELS, "## Families")) if family.model_type in in_code(row[0])]
        assert len(rows) == 1
        spelled_out = not any(name.endswith("ForMaskedLM") for name in family.architectures)
        assert set(family.architectures if spelled_out else ()) <= in_code(rows[0][1])

    @pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
    def test_other_pages_count_the_families_right(self, name: str):
        types = {family.model_type for family in FAMILIES}
        assert len(types) == 12
        assert "twelve families" in (ROOT / name).read_text().lower()

    def test_every_field_of_a_family_is_explained(self):
        names = {name for row in table(section(MODELS, "## Adding a family")) for name in in_code(row[0])}
        assert names == {field.name for field in dataclasses.fields(Family)}

    def test_every_module_pooling_mode_and_activation_is_named(self):
        modules = section(MODELS, "## Modules")
        assert [row[0].strip("`") for row in table(modules)] == ["Transformer", "Pooling", *LAYERS, "Router"]
        assert {*PoolingMode, *(name.rsplit(".", 1)[1] for name in ACTIVATIONS)} <= in_code(modules)


def config(directory: Path, **keys: Any) -> None:
    """A model of 384 components, and what stands beside its transformer."""
    write(directory / "config.json", {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 384} | keys)


def modules(directory: Path, *kinds: str) -> None:
    config(directory, num_attention_heads=12, intermediate_size=1536, max_position_embeddings=512)
    write(directory / "1_Pooling/config.json", {})
    entries = [{"type": kind if "." in kind else f"sentence_transformers.models.{kind}"} for kind in kinds]
    paths = ("" if kind in ("Transformer", "Router") else f"{n}_{kind}" for n, kind in enumerate(kinds))
    write(directory / "modules.json", [entry | {"path": path} for entry, path in zip(entries, paths, strict=True)])


def a_checkpoint_of_open_clip(directory: Path) -> None:
    refuse_open_clip("timm/ViT-B-16-SigLIP", ["open_clip_config.json"], readable=False)


def an_unknown_family(directory: Path) -> None:
    config(directory, architectures=["AlbertModel"], model_type="albert")


def an_unknown_module(directory: Path) -> None:
    modules(directory, "Transformer", "WordWeights")


def a_module_of_somebody(directory: Path) -> None:
    modules(directory, "Transformer", "my_package.Pooling")


def an_unknown_chain(directory: Path) -> None:
    modules(directory, "Transformer", "Normalize")


def an_unknown_mode(directory: Path) -> None:
    modules(directory, "Transformer", "Pooling")
    write(directory / "1_Pooling/config.json", {"pooling_mode": "median"})


def an_unknown_key(directory: Path) -> None:
    modules(directory, "Transformer", "Pooling")
    write(directory / "1_Pooling/config.json", {"pooling_mode": "mean", "temperature": 1})


def an_unknown_activation(directory: Path) -> None:
    modules(directory, "Transformer", "Pooling", "Dense")
    write(directory / "2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.Mish"})


def a_layer_of_another_width(directory: Path) -> None:
    modules(directory, "Transformer", "Pooling", "Dense")
    write(directory / "2_Dense/config.json", {"in_features": 512, "out_features": 8})


def a_router_for_queries_alone(directory: Path) -> None:
    modules(directory, "Router")
    types = {"query_0_Transformer": "sentence_transformers.models.Transformer"}
    structure = {"query": ["query_0_Transformer"]}
    write(directory / "router_config.json", {"types": types, "structure": structure, "parameters": {}})


def pickled_weights(directory: Path) -> None:
    wanted_files(["config.json", "pytorch_model.bin"], NO_TRUST)


def too_little_memory(directory: Path) -> None:
    check_resources(2_271_019_008, memory=3_900_000_000, disk=10**12, output=directory / "bundle")


REFUSED = (
    a_checkpoint_of_open_clip,
    an_unknown_family,
    an_unknown_module,
    a_module_of_somebody,
    an_unknown_chain,
    an_unknown_mode,
    an_unknown_key,
    an_unknown_activation,
    a_layer_of_another_width,
    a_router_for_queries_alone,
    pickled_weights,
    too_little_memory,
)
"""What the page shows a message of, in its order."""
NAMES = [spoil.__name__ for spoil in REFUSED]
MESSAGES = re.findall(r"^quantize\.py: (.*)$", MODELS, re.MULTILINE)


@pytest.mark.parametrize(("spoil", "message"), list(zip(REFUSED, MESSAGES, strict=True)), ids=NAMES)
def test_messages_are_what_a_build_says(tmp_path: Path, spoil: Callable[[Path], None], message: str):
    with pytest.raises(BuildError) as refused:  # noqa: PT012
        spoil(tmp_path)
        describe(tmp_path, trust_remote_code=False)
    shown, shortened, _ = message.partition("…")
    assert str(refused.value).startswith(shown)
    assert shortened or str(refused.value) == shown
