"""The pages say what the code does: settings, request and manifest fields, messages, the architecture, figures."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path

import pytest

import manifest
from build.fidelity.cpu_classes import CLASSES, CpuClass
from build.fidelity.report import (
    ClassFigures,
    ClassScores,
    CosineReport,
    FidelityReport,
    LengthFigures,
    MeasuredText,
    QueryScores,
    ScoreReport,
)
from build.fidelity.thresholds import COSINE_OPTIONS, SCORE_OPTIONS, ScoreThresholds, Thresholds
from build.kinds.text import STAGES
from build.pipeline import VERIFY
from build.precisions import PRECISIONS
from build.quantization.record import WeightRecord
from build.ranking.gate import default_thresholds
from manifest import LayerKind, PoolingMode, Precision
from runtime.http.limits import BYTES_PER_BODY_BYTE, SMALL_BODY, SPARE_CONNECTIONS, TINY_BODY, Deadlines, Memory
from runtime.settings import DEFAULT_MAX_BODY_BYTES, FALSE, TRUE, LogFormat, LogLevel, read_settings
from runtime.text.long_text import LongText
from tests.support.pages import PAGES, READ, SETTINGS, in_code, section, table
from tests.support.paths import ROOT

WITHOUT_EFFECT = re.findall(r'^    "([A-Z0-9_]+)",$', SETTINGS, re.MULTILINE)
FIELDS = {"AUTHENTICATION_ALLOWED_TOKENS": "allowed_tokens"}
"""The fields of ``Settings`` that are not called like their variable."""
DEADLINES = Deadlines()
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
    parser = "".join((ROOT / "runtime" / "api" / name).read_text() for name in ("vectors.py", "vectors_fields.py"))
    read = {f"config.{name}" for name in re.findall(r'config\.get\("(\w+)"', parser)}
    tables = re.findall(r"^\| `(text|config\.\w+)` \|", (ROOT / "docs" / "http.md").read_text(), re.MULTILINE)
    assert sorted(tables) == sorted({"text", *read})


class TestHttp:
    """docs/http.md"""

    PAGE = (ROOT / "docs" / "http.md").read_text()

    def test_limits_are_those_of_the_server(self):
        limits = " ".join(section(self.PAGE, "## Limits").split())
        memory = Memory.of(1 << 30, DEFAULT_MAX_BODY_BYTES)
        parser = (ROOT / "runtime" / "api" / "json_body.py").read_text()
        (structure,) = re.findall(r"^MAX_STRUCTURE_BYTES = (\d+) \* 1024$", parser, re.MULTILINE)
        for sentence in (
            f"must arrive within {DEADLINES.head:g} s and have at most {memory.max_head >> 10} KiB",
            f"{memory.max_connections:,} in a container of 1 GiB",
            f"kept for {DEADLINES.keep_alive:g} s",
            f"After {DEADLINES.age:g} s, more or less, an answer closes",
            f"must arrive within {DEADLINES.body:g} s and have at most `MAX_BODY_BYTES`",
            f"bodies of more than {SMALL_BODY >> 10} KiB [take turns]",
            f"may have {structure} KiB outside its strings",
            f"nothing of its answer for {DEADLINES.write:g} s",
        ):
            assert sentence in limits

    def test_every_field_about_the_server_is_explained(self):
        kind = (ROOT / "runtime" / "kinds" / "text.py").read_text().partition("serving={")[2].partition("}")[0]
        meta = (ROOT / "runtime" / "api" / "meta.py").read_text().partition('"serving": {')[2].partition("}")[0]
        written = re.findall(r'"(\w+)": ', meta + kind)
        assert [row[0].strip("`") for row in table(section(self.PAGE, "## Meta"))] == written

    def test_every_status_is_listed(self):
        handlers = (ROOT / "runtime" / "api" / "error_handlers.py").read_text()
        connection = (ROOT / "runtime" / "http" / "connection.py").read_text()
        written = {str(HTTPStatus[name].value) for name in re.findall(r"HTTPStatus\.([A-Z_]+)", connection)}
        listed = {status for row in table(section(self.PAGE, "## Errors")) for status in row[0].split(", ")}
        assert {"400", "505"} <= written
        assert listed == {*re.findall(r"falcon\.HTTP_(\d+)", handlers), *written, "404", "405"}


class TestServer:
    """docs/server.md"""

    PAGE = (ROOT / "docs" / "server.md").read_text()

    def test_every_deadline_is_listed_with_its_seconds(self):
        rows = table(section(self.PAGE, "## Deadlines"))
        fields = dataclasses.asdict(DEADLINES)
        del fields["check"]
        assert [(row[0].strip("`"), float(row[1])) for row in rows] == list(fields.items())

    def test_the_states_that_are_drawn_are_those_of_a_connection(self):
        code = (ROOT / "runtime" / "http" / "connection.py").read_text()
        states = re.findall(r"^    ([A-Z]+) = enum\.auto\(\)$", code, re.MULTILINE)
        drawn = section(self.PAGE, "## A connection")
        (picture,) = re.findall(r"^```mermaid\n(.*?)^```$", drawn, re.DOTALL | re.MULTILINE)
        assert {*re.findall(r"\b([A-Z]{4,})\b(?= -->| :)", picture)} == {*states}

    def test_shares_of_memory_are_those_of_the_server(self):
        memory = Memory.of(1 << 30, DEFAULT_MAX_BODY_BYTES)
        reading = section(self.PAGE, "## Reading")
        at_a_time = memory.large_bodies // (BYTES_PER_BODY_BYTE * DEFAULT_MAX_BODY_BYTES)
        small, large = table(reading)
        assert small[2] == f"{memory.small_bodies >> 20} MiB"
        assert large[2] == f"{memory.large_bodies >> 20} MiB: {at_a_time} bodies of 1 MiB at a time"
        assert small[0] == f"up to {SMALL_BODY >> 10} KiB"
        assert f"reserves {BYTES_PER_BODY_BYTE} bytes" in reading
        assert f"Bodies up to {TINY_BODY >> 10} KiB" in reading
        assert f"set to {2 * memory.receive_buffer >> 10} KiB for each connection" in reading
        assert f"up to {SPARE_CONNECTIONS} spare connections" in self.PAGE
        assert f"{memory.max_connections:,} connections in a container of 1 GiB" in self.PAGE

    def test_files_that_it_names_exist(self):
        named = {name for name in in_code(self.PAGE) if re.fullmatch(r"[\w/]+\.(py|onnx)|[\w/]+/", name)}
        assert len(named) > 5
        assert all((ROOT / name).exists() for name in named)


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

    def test_messages_are_those_of_the_code(self):
        assert len(self.QUOTED) > 15
        roots = (ROOT / name for name in ("build", "runtime", "sections", "manifest.py"))
        patterns = [re.compile(pattern) for pattern in templates(*roots)]  # PERF: re keeps fewer compiled ones.
        for line in self.QUOTED:
            message = json.loads(line)["error"] if line.startswith("{") else self.FRAME.sub("", line, count=1)
            assert any(pattern.fullmatch(message) for pattern in patterns), line


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
        picture = re.findall(r"^```mermaid\n(.*?)^```$", self.PAGE, re.DOTALL | re.MULTILINE)[0]
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
            for one in COSINE_OPTIONS
        ]

    def test_the_thresholds_of_rerankers_are_those_of_the_gate(self):
        required = [default_thresholds(PRECISIONS[precision]) for precision in (Precision.INT8, Precision.FP32)]
        assert table(section(self.PAGE, "### Rerankers")) == [
            [one.figure, f"`{one.flag}`", f"`{one.variable}`", *(f"{getattr(row, one.field):g}" for row in required)]
            for one in SCORE_OPTIONS
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
            ScoreReport,
            ClassScores,
            QueryScores,
            ScoreThresholds,
            manifest.ScoreFigures,
            MeasuredText,
            LengthFigures,
            WeightRecord,
        ):
            assert {field.name for field in dataclasses.fields(kind)} <= named

    def test_every_class_of_arithmetic_is_named(self):
        text = section(self.PAGE, "## CPU classes")
        assert [row[0].strip("`") for row in table(text)] == [one.name for one in CLASSES]
        assert {spec.stock_class for spec in PRECISIONS.values()} <= set(CLASSES)
