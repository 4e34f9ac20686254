"""README.md and docs/quickstart.md show what was measured, and commands that belong together."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

import manifest
from build.model.default_model import MODEL
from build.names import image_tag
from manifest import Precision
from tests.support.pages import README, numbers, section, table
from tests.support.paths import ROOT


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
        modules = ("build/summary.py", "build/fidelity/summary.py", "build/kinds/text_summary.py")
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
