"""The pages say what the code does: models, modules, messages, settings, request and manifest fields; links lead on."""

from __future__ import annotations

import ast
import csv
import dataclasses
import json
import re
import subprocess
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import manifest
from build.errors import BuildError
from build.fidelity.cpu_classes import CLASSES, CpuClass
from build.fidelity.report import ClassFigures, CosineReport, FidelityReport, LengthFigures, MeasuredText
from build.fidelity.thresholds import OPTIONS, Thresholds
from build.host.resources import check_resources
from build.kinds.text import STAGES
from build.model.default_model import MODEL
from build.model.describe import describe
from build.model.families import FAMILIES, Family
from build.model.files import wanted_files
from build.model.sentence_modules import ACTIVATIONS, LAYERS
from build.model.trust import NO_TRUST
from build.names import image_tag
from build.pipeline import VERIFY
from build.precisions import PRECISIONS
from build.quantization.record import WeightRecord
from manifest import LayerKind, PoolingMode, Precision
from runtime.settings import FALSE, TRUE, LogFormat, LogLevel, read_settings
from runtime.text.long_text import LongText
from tests.support.json_files import write
from tests.support.models.model_table import TABLE
from tests.support.paths import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
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
    """What a page shows as code within its sentences."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"`([^`\n]+)`", prose))


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


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", text)


class TestReadme:
    PERFORMANCE = (ROOT / "docs" / "performance.md").read_text()
    MEASURED = tuple(table(section(README, "## Measured")))

    def test_the_loads_were_measured(self):
        rows = {(row[0], row[1]): row for row in table(section(self.PERFORMANCE, "## Results"))}
        for load, ours, theirs, times in self.MEASURED[:4]:
            for system, cell in (("cpu2vec", ours), ("incumbent", theirs)):
                requests, p50 = (rows[load, system][column].split(" (")[0] for column in (2, 3))
                shown = numbers(cell.replace("p50", ""))
                assert shown[0] == requests
                assert float(p50) == pytest.approx(float(shown[1]), rel=0.01, abs=0.05)
            assert f"{float(rows[load, 'cpu2vec'][2].split('(')[1].split(' ')[0]):.1f} ×" == times

    def test_the_costs_were_measured(self):
        ours, theirs = ("", "")
        for line in section(self.PERFORMANCE, "## Results").splitlines():
            ours = line if line.startswith("| cpu2vec ") else ours
            theirs = line if line.startswith("| incumbent ") else theirs
        for _, our_cell, their_cell, _ in self.MEASURED[4:7]:
            assert set(numbers(our_cell)) <= set(numbers(ours))
            assert set(numbers(their_cell)) <= set(numbers(theirs))

    def test_the_size_of_an_image_is_that_of_the_page_on_images(self):
        images = (ROOT / "docs" / "images.md").read_text()
        amd64, arm64 = re.findall(r"(\d+) MB", self.MEASURED[7][1])
        assert f"| **without the bundle** | **{amd64}** |" in images
        assert f"arm64 is {arm64} MB" in images

    def test_the_chart_shows_what_was_measured(self):
        chart = ElementTree.parse(ROOT / "docs" / "measured.svg").getroot()
        name = "{http://www.w3.org/2000/svg}"
        drawn = []
        for group in chart.iter(f"{name}g"):
            values = [numbers(str(text.text))[0] for text in group.iter(f"{name}text") if text.get("class") == "value"]
            widths = [float(rect.get("width", "0")) for rect in group.iter(f"{name}rect")]
            assert widths[0] / widths[1] == pytest.approx(float(values[0]) / float(values[1]), rel=0.02)
            drawn += values
        cells = [numbers(cell.replace("p50", ""))[0] for row in (1, 5, 4, 6) for cell in self.MEASURED[row][1:3]]
        assert drawn == cells
        assert set(drawn) <= set(numbers(chart.findtext(f"{name}desc", "")))

    def test_it_runs_the_image_that_it_builds(self):
        commands = section(README, "## Build and run an image").replace("\\\n ", "")
        built = commands.index("\nmake image ")
        run = re.search(r"^docker run .*", commands, re.MULTILINE)
        assert run
        assert built < run.start()
        flags, tag = run[0].rsplit(" cpu2vec:", 1)
        assert f"cpu2vec:{tag}" == image_tag(
            MODEL, None, Precision.INT8, "$(docker version --format '{{.Server.Arch}}')"
        )
        advice = re.search(r'"(docker run [^{]*) \{', (ROOT / "build" / "image" / "build_image.py").read_text())
        assert advice
        assert " ".join(flags.split()) == advice[1]

    def test_it_names_what_it_replaces(self):
        first_screen = README.partition("\n## ")[0]
        for name in ("`text2vec-transformers`", "`t2v-transformers-models`", "(docs/measured.svg)"):
            assert name in first_screen


class TestQuickstart:
    """docs/quickstart.md"""

    PAGE = (ROOT / "docs" / "quickstart.md").read_text()

    def test_the_table_at_the_end_of_a_build_has_these_rows(self):
        (shown,) = re.findall(r"^```text\n(.*?)^```$", self.PAGE, re.DOTALL | re.MULTILINE)
        modules = ("build/summary.py", "build/kinds/text_summary.py")
        sources = "".join((ROOT / name).read_text() for name in modules)
        for line in shown.splitlines():
            name = line.split("  ")[0]
            assert re.search(rf'\((?:\n *)?f?"(?:\{{prefix\}})?{name}"', sources), name

    def test_its_images_are_called_as_make_calls_them(self):
        tags = set(re.findall(r"cpu2vec:[\w.-]+", self.PAGE))
        models = ("my-model", MODEL)
        assert tags <= {
            image_tag(model, None, Precision.INT8, arch) for model in models for arch in ("", *manifest.Target)
        }


READ = set(re.findall(r'\b(?:read|environment\.get)\(\s*"([A-Z0-9_]+)"', SETTINGS))
WITHOUT_EFFECT = re.findall(r'^    "([A-Z0-9_]+)",$', SETTINGS, re.MULTILINE)
FIELDS = {"AUTHENTICATION_ALLOWED_TOKENS": "allowed_tokens"}
"""The fields of ``Settings`` that are not called like their variable."""
SETTINGS_PAGE = (ROOT / "docs" / "settings.md").read_text()
SETTING_ROWS = {name: row for row in table(SETTINGS_PAGE) for name in in_code(row[0])}


class TestSettings:
    """docs/settings.md"""

    def test_the_table_names_what_is_read_and_nothing_else(self):
        assert {"PORT", "BUNDLE_DIR", "LONG_TEXT"} <= READ
        assert set(SETTING_ROWS) == READ

    def test_no_other_page_has_a_table_of_settings(self):
        pages = [page.name for page in PAGES if "\n| `BUNDLE_DIR`" in page.read_text()]
        assert pages == ["settings.md"]

    @pytest.mark.parametrize("name", sorted(set(SETTING_ROWS) - {"BUNDLE_DIR"}))
    def test_a_default_is_what_the_server_uses_if_a_setting_is_unset(self, name: str):
        default = SETTING_ROWS[name][1]
        if default.startswith("`"):
            assert read_settings({name: default.strip("`")}) == read_settings({})
        else:
            value = dataclasses.asdict(read_settings({}))[FIELDS.get(name, name.lower())]
            assert value in (None, frozenset())

    def test_the_bundle_of_an_image_is_where_its_dockerfile_puts_it(self):
        assert SETTING_ROWS["BUNDLE_DIR"][1] == "`/bundle` in an image"
        for target in manifest.Target:
            assert "\nENV BUNDLE_DIR=/bundle " in (ROOT / f"Dockerfile.{target}").read_text()

    @pytest.mark.parametrize(
        ("name", "kind"), [("LONG_TEXT", LongText), ("LOG_LEVEL", LogLevel), ("LOG_FORMAT", LogFormat)]
    )
    def test_every_value_of_a_choice_is_named(self, name: str, kind: type[StrEnum]):
        assert in_code(SETTING_ROWS[name][2]) >= set(kind)

    def test_every_word_for_on_and_off_is_named(self):
        text = SETTINGS_PAGE.partition("## Accepted without effect")[0]
        assert in_code(text) >= TRUE | FALSE

    def test_what_is_accepted_without_effect_is_named(self):
        assert "CUDA_CORE" in WITHOUT_EFFECT
        assert in_code(section(SETTINGS_PAGE, "## Accepted without effect")) == set(WITHOUT_EFFECT)

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


class TestHttp:
    """docs/http.md"""

    PAGE = (ROOT / "docs" / "http.md").read_text()

    def test_limits_are_those_of_the_server(self):
        limits = section(self.PAGE, "## Limits")
        modules = ("server/http_protocol.py", "server/server.py", "api/body.py")
        code = "".join((ROOT / "runtime" / name).read_text() for name in modules)
        for pattern, sentence in (
            (r"^HEADER_SECONDS = (\d+)\.0$", "within {} s and have"),
            (r"^MAX_HEADER_BYTES = (\d+) \* 1024$", "at most {} KiB"),
            (r"^MAX_CONNECTIONS = (\d+)$", "Beyond {:,} connections"),
            (r"^KEEP_ALIVE_SECONDS = (\d+)$", "kept for {} s"),
            (r"^    seconds: float = (\d+)\.0$", "within {} s and have at most `MAX_BODY_BYTES`"),
        ):
            (value,) = re.findall(pattern, code, re.MULTILINE)
            assert sentence.format(int(value)) in limits

    def test_every_field_about_the_server_is_explained(self):
        kind = (ROOT / "runtime" / "kinds" / "text.py").read_text().partition("serving={")[2].partition("}")[0]
        meta = (ROOT / "runtime" / "api" / "meta.py").read_text().partition('"serving": {')[2].partition("}")[0]
        written = re.findall(r'"(\w+)": ', meta + kind)
        assert [row[0].strip("`") for row in table(section(self.PAGE, "## Meta"))] == written

    def test_every_status_is_listed(self):
        handlers = (ROOT / "runtime" / "api" / "error_handlers.py").read_text()
        listed = {status for row in table(section(self.PAGE, "## Errors")) for status in row[0].split(", ")}
        assert listed == {*re.findall(r"falcon\.HTTP_(\d+)", handlers), "404", "405"}


class TestGlossary:
    """docs/glossary.md"""

    PAGE = (ROOT / "docs" / "glossary.md").read_text()

    def test_what_can_be_chosen_is_named(self):
        assert {*manifest.Kind, *manifest.Target, *Precision, *manifest.Task} <= in_code(self.PAGE)

    def test_instruction_sets_are_those_of_the_kernels(self):
        listed = section((ROOT / "docs" / "kernels.md").read_text(), "## Which instruction set runs")
        (row,) = [line for line in self.PAGE.splitlines() if line.startswith("| instruction set")]
        assert re.findall(r"`(\w+)`", row) == [cells[0].strip("`") for cells in table(listed)]

    def test_it_says_how_many_held_out_texts_there_are(self):
        texts = (ROOT / "build" / "data" / "heldout.txt").read_text(encoding="utf-8").splitlines()
        assert f"the {len(texts)} texts that fidelity is measured on" in self.PAGE

    def test_files_that_it_names_exist(self):
        named = {name for name in in_code(self.PAGE) if re.fullmatch(r"[\w/]+\.(py|txt)", name)}
        assert named
        assert all((ROOT / name).is_file() for name in named)


FIELD = "(.+)"


def template(node: ast.AST, constants: dict[str, str]) -> str:
    """A regular expression for what a string in the source can become; empty for other nodes."""
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part, constants) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        return re.escape(constants[name]) if name in constants else FIELD
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return FIELD.join(re.escape(part) for part in re.split(r"%[sd]", node.value))
    return ""


def templates(*roots: Path) -> set[str]:
    """Those of all strings that have words of their own."""
    found: set[str] = set()
    for file in [file for root in roots for file in ([root] if root.is_file() else root.rglob("*.py"))]:
        tree = ast.parse(file.read_text())
        constants = {
            statement.targets[0].id: str(statement.value.value)
            for statement in tree.body
            if isinstance(statement, ast.Assign)
            and isinstance(statement.targets[0], ast.Name)
            and isinstance(statement.value, ast.Constant)
        }
        found |= {template(node, constants) for node in ast.walk(tree)}
    return {pattern for pattern in found if len(re.findall("[a-z]", pattern)) >= 10}


class TestTroubleshooting:
    """docs/troubleshooting.md"""

    PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
    QUOTED = tuple("".join(re.findall(r"^```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)).splitlines())
    FRAME = re.compile(r"(?:quantize\.py|make \w+|cpu2vec|not serving): ")
    GUNICORN = tuple((ROOT / ".venv" / "runtime" / "lib").glob("python*/site-packages/gunicorn"))

    def test_messages_are_those_of_the_code(self):
        assert len(self.QUOTED) > 15
        assert self.GUNICORN
        patterns = templates(*(ROOT / name for name in ("build", "runtime", "sections", "manifest.py")), *self.GUNICORN)
        for line in self.QUOTED:
            message = json.loads(line)["error"] if line.startswith("{") else self.FRAME.sub("", line, count=1)
            assert any(re.fullmatch(pattern, message) for pattern in patterns), line


class TestArchitecture:
    """docs/architecture.md"""

    PAGE = (ROOT / "docs" / "architecture.md").read_text()
    NAMED = frozenset(name for name in in_code(PAGE) if "<" not in name)

    def test_paths_that_it_names_exist(self):
        paths = {name for name in self.NAMED if re.fullmatch(r"[\w./]+(/|\.\w+)", name) and name != "Model.endpoints"}
        assert len(paths) > 40
        homes = (ROOT, ROOT / "build", ROOT / "runtime", ROOT / "kernels")
        assert [name for name in paths if not any((home / name).exists() for home in homes)] == []

    @pytest.mark.parametrize("folder", ["build", "runtime"])
    def test_every_package_is_in_the_tree(self, folder: str):
        packages = {f"{path.parent.relative_to(ROOT).as_posix()}/" for path in (ROOT / folder).glob("*/__init__.py")}
        tree = {name for row in table(section(self.PAGE, "## The tree")) for name in in_code(row[0])}
        assert packages
        assert packages <= tree

    def test_stages_are_those_of_the_build(self):
        flow = section(self.PAGE, "## How a build flows")
        assert re.findall(r"\*\*(\w+)\*\*", flow) == ["fetch", "describe", *STAGES, VERIFY]
        (picture,) = re.findall(r"^```mermaid\n(.*?)^```$", self.PAGE, re.DOTALL | re.MULTILINE)
        assert f"fetch --> describe --> {' --> '.join([*STAGES, VERIFY])}\n" in picture

    def test_a_new_kind_takes_the_files_and_rows_that_it_names(self):
        proof = (ROOT / "tests" / "project" / "test_new_kind.py").read_text()
        new = {name.replace("reverse", "<kind>") for name in re.findall(r'"([\w/]+reverse\.py)"', proof)}
        new = {name.replace("api/<kind>", "api/<endpoint>") for name in new}
        text = section(self.PAGE, "## Where to add things")
        assert {row[0].strip("`") for row in table(text)} == new
        rows = table(text[text.index("| table | row |") :])
        assert {re.findall(r"`([\w/]+\.py)`", row[0])[0] for row in rows} == set(re.findall(r'Row\("([^"]+)"', proof))


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
            CosineReport,
            ClassFigures,
            CpuClass,
            manifest.CosineFigures,
            Thresholds,
            MeasuredText,
            LengthFigures,
            WeightRecord,
        ):
            assert {field.name for field in dataclasses.fields(kind)} <= named

    def test_every_class_of_arithmetic_is_named(self):
        text = section(self.PAGE, "## CPU classes")
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


BRITISH = re.compile(
    r"licence|neighbour|behaviour|honour|colour|favour|centre|cancelled|"
    r"(?:quant|normal|token|summar|optim|initial|organ|real|recogn|serial)is(?:e|es|ed|ing|ation)\b",
    re.IGNORECASE,
)
"""Words that American English spells otherwise."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_spelling_and_names_are_the_same_everywhere(page: Path):
    prose = re.sub(r"^```.*?^```$|`[^`\n]+`|\]\([^)]*\)", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert BRITISH.findall(prose) == []
    assert not re.search(r"[«»]|huggingface", prose, re.IGNORECASE)


def test_every_page_is_linked_from_the_readme():
    linked = {(ROOT / name).resolve() for name in re.findall(r"\]\(([\w./]+\.md)[)#]", README)}
    assert linked == {*PAGES} - {ROOT / "README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
class TestCommands:
    """In every page."""

    @staticmethod
    def blocks(page: Path) -> list[str]:
        return re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)

    def test_shell_blocks_are_valid_shell(self, page: Path):
        for block in self.blocks(page):
            subprocess.run(["bash", "-n"], input=block, text=True, check=True)

    def test_make_targets_exist(self, page: Path):
        commands = [*self.blocks(page), *in_code(page.read_text())]
        targets = {
            name for text in commands for name in re.findall(r"^(?:\w+=\S+ )*make ([a-z][\w-]*)", text, re.MULTILINE)
        }
        assert [name for name in targets if not re.search(rf"^{name}:", MAKEFILE, re.MULTILINE)] == []

    def test_variables_of_make_are_listed_by_its_help(self, page: Path):
        commands = [*self.blocks(page), *in_code(page.read_text())]
        lines = [line for text in commands for line in text.splitlines() if re.match(r"(?:\w+=\S+ )*make [a-z]", line)]
        given = {name for line in lines for name in re.findall(r" ([A-Z][A-Z0-9_]+)=", line.split(" #")[0])}
        assert [name for name in given if not re.search(rf"\b{name}\b", MAKEFILE) and name not in READ] == []

    def test_options_of_the_build_exist(self, page: Path):
        flags = {
            flag
            for line in re.findall(r"\./quantize\.py.*", page.read_text())
            for flag in re.findall(r" (--[a-z][a-z0-9-]+)", line)
        }
        known = {
            *re.findall(r'"(--[a-z][a-z-]+)"', (ROOT / "build" / "cli.py").read_text()),
            *(option.flag for option in OPTIONS),
        }
        assert flags <= {*known, "--help"}
