"""The pages say what the code does: models, modules, messages, settings, request and manifest fields; links lead on."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import manifest
from build.errors import BuildError
from build.fidelity.cpu_classes import CLASSES
from build.fidelity.report import ClassFigures, FidelityReport, LengthFigures, Measured
from build.fidelity.thresholds import OPTIONS, Thresholds
from build.host.resources import check_resources
from build.model.describe import describe
from build.model.families import FAMILIES, Family
from build.model.files import wanted_files
from build.model.sentence_modules import ACTIVATIONS, LAYERS
from build.model.trust import NO_TRUST
from build.precisions import PRECISIONS
from build.quantization.record import WeightRecord
from manifest import LayerKind, PoolingMode, Precision
from tests.support.json_files import write
from tests.support.models.model_table import TABLE
from tests.support.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODELS = (ROOT / "docs" / "models.md").read_text()
SETTINGS = (ROOT / "runtime" / "settings.py").read_text()
CELLS = ("architecture", "tokenizer", "pooling", "dense", "normalize", "dim", "max_tokens", "prompts")


def section(text: str, heading: str) -> str:
    """What stands below a heading, without what stands below the headings in it."""
    return text.split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]


def table(text: str) -> list[list[str]]:
    """The cells of the first table, without its head."""
    lines = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert lines
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()[2:]]


def in_code(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


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


READ = set(re.findall(r'\b(?:read|environment\.get)\(\s*"([A-Z0-9_]+)"', SETTINGS))
WITHOUT_EFFECT = re.findall(r'^    "([A-Z0-9_]+)",$', SETTINGS, re.MULTILINE)


class TestSettings:
    @pytest.mark.parametrize(("name", "heading"), [("README.md", "## Run"), ("docs/deploy.md", "## Settings")])
    def test_the_tables_name_what_is_read_and_nothing_else(self, name: str, heading: str):
        rows = table(section((ROOT / name).read_text(), heading))
        assert {"PORT", "BUNDLE_DIR", "LONG_TEXT"} <= READ
        assert {variable for row in rows for variable in in_code(row[0])} == READ

    def test_what_is_accepted_without_effect_is_named(self):
        text = section((ROOT / "docs" / "deploy.md").read_text(), "## Settings")
        assert "ENABLE_CACHE" in WITHOUT_EFFECT
        assert in_code(text) >= set(WITHOUT_EFFECT)

    def test_what_a_long_text_can_become_is_explained(self):
        values = re.findall(
            r'^    [A-Z]+ = "(\w+)"$', (ROOT / "runtime" / "text" / "long_text.py").read_text(), re.MULTILINE
        )
        text = section((ROOT / "docs" / "http.md").read_text(), "## Long texts")
        assert [row[0].split("`")[1] for row in table(text)] == values


def test_every_field_of_a_request_has_a_rule():
    parser = (ROOT / "runtime" / "api" / "vectors.py").read_text()
    read = {f"config.{name}" for name in re.findall(r'config\.get\("(\w+)"', parser)}
    tables = re.findall(r"^\| `(text|config\.\w+)` \|", (ROOT / "docs" / "http.md").read_text(), re.MULTILINE)
    assert sorted(tables) == sorted({"text", *read})


class TestBundle:
    """docs/bundle.md"""

    PAGE = (ROOT / "docs" / "bundle.md").read_text()

    def test_the_schema_is_the_manifests(self):
        assert f"| `schema` | {manifest.SCHEMA}. " in self.PAGE

    def test_every_field_of_the_manifest_is_named(self):
        named = {name.removeprefix("text.") for name in in_code(self.PAGE)}
        header = (manifest.Manifest, manifest.Source, manifest.Fidelity, manifest.CosineFigures, manifest.ScoreFigures)
        text = (manifest.TextModel, manifest.Encoder, manifest.Pooling, manifest.Graph, manifest.Layer)
        golden = (manifest.Golden, manifest.GoldenRequest, manifest.Tolerance)
        for kind in (*header, *text, manifest.WorkingMemory, *golden):
            assert {field.name for field in dataclasses.fields(kind)} - {"section"} <= named
        assert {*PoolingMode, *LayerKind} <= named

    def test_every_file_is_named(self):
        named = {row[0].strip("`") for row in table(self.PAGE)}
        model = {"model.onnx", "model.onnx.data", "tokenizer.json"}
        common = {*manifest.COMMON_FILES, *manifest.OPTIONAL_FILES}
        assert named == {manifest.MANIFEST_FILE, manifest.HEAD_FILE, *common, *model}


class TestFidelity:
    """docs/fidelity.md"""

    PAGE = (ROOT / "docs" / "fidelity.md").read_text()

    def test_the_thresholds_are_those_of_the_precisions(self):
        int8, fp32 = (PRECISIONS[precision].thresholds for precision in (Precision.INT8, Precision.FP32))
        assert table(section(self.PAGE, "## The gate")) == [
            [
                one.figure,
                f"`{one.flag}`",
                f"`{one.variable}`",
                *(f"{getattr(row, one.field):g}" for row in (int8, fp32)),
            ]
            for one in OPTIONS
        ]

    def test_every_field_of_the_report_is_named(self):
        named = in_code(section(self.PAGE, "## The report"))
        for kind in (
            FidelityReport,
            ClassFigures,
            manifest.CosineFigures,
            Thresholds,
            Measured,
            LengthFigures,
            WeightRecord,
        ):
            assert {field.name for field in dataclasses.fields(kind)} <= named

    def test_every_class_of_arithmetic_is_named(self):
        text = self.PAGE.partition("**Classes of arithmetic.**")[2]
        assert [row[0].strip("`") for row in table(text)] == [one.name for one in CLASSES]
        assert {spec.stock_class for spec in PRECISIONS.values()} <= set(CLASSES)


def anchors(page: Path) -> set[str]:
    """What a heading's link is called, as GitHub and others make it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKS = [
    pytest.param(page, target, id=f"{page.name}-{target}")
    for page in PAGES
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text())
    if not target.startswith("http")
]


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_links_lead_to_a_file_and_a_heading(page: Path, target: str):
    name, _, anchor = target.partition("#")
    file = page.parent / name if name else page
    assert file.is_file()
    assert not anchor or anchor in anchors(file)


def test_every_page_is_linked_from_the_readme():
    linked = set(re.findall(r"\]\(docs/([\w.]+)\)", PAGES[0].read_text()))
    assert linked == {page.name for page in PAGES[1:]}
