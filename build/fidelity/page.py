"""Renders ``fidelity.html``: the report for people, one file that needs nothing else. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from build.fidelity.charts import error_of
from build.fidelity.page_sections import YARDSTICK, cosine_section, score_section, weight_section
from build.fidelity.report import FidelityReport, LengthFigures
from manifest import COMMON_FILES, FIDELITY_PAGE_FILE, Kind, Manifest, Precision

TEMPLATES = Path(__file__).with_name("templates")

SHOWN_CHARACTERS = 200
"""Longer texts are cut."""

SHOWN_DIGITS = 12
"""Hashes are cut to this many digits."""

JOINERS = "\u200c\u200d"
"""These shape letters and join emoji in ordinary text, and are harmless."""

INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""The categories of characters that steer a terminal, reverse a line's direction or show nothing (Unicode, 4.5)."""

HUB = "https://huggingface.co/"

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
"""An owner and a name. The model of a directory has the directory's name, without a slash."""

MEANINGS = {
    Precision.INT8: "Weights have 8 bits. cpu2vec's own kernels compute the products of model families that they "
    "support, and onnxruntime's kernels those of all others.",
    Precision.INT8_STOCK: "Weights have 8 bits. onnxruntime's own kernels compute the products.",
    Precision.FP32: "Weights are in 32-bit floating point, as in the original. onnxruntime computes the products.",
}
"""What each precision means."""

STATIC_MEANINGS = {
    Precision.STORED: "The table has the numbers of the model's files.",
    Precision.FP32: "The table is in 32-bit floating point.",
    Precision.INT8: "The table's rows have 8 bits, with one scale each.",
}
"""What it means for static models."""


def fidelity_page(report: FidelityReport, manifest: Manifest) -> str:
    """Render the whole page. The same report on the same files by the same project version gives the same bytes.

    NOTE: the page shows neither the source nor the target, because files are the same wherever a model came from and
    whichever target they are for. The hashes of the files tell which bundle it is about.
    """
    files = {name: entry.sha256 for name, entry in manifest.files.items()}
    return _render(
        "page.html.j2",
        report=report,
        manifest=manifest,
        hub_page=f"{HUB}{manifest.model}" if HUB_ID.fullmatch(manifest.model) else None,
        meaning=(STATIC_MEANINGS if manifest.kind is Kind.STATIC else MEANINGS)[manifest.precision],
        files={name: files[name] for name in sorted(files.keys() - {*COMMON_FILES, FIDELITY_PAGE_FILE})},
        weights=weight_section(report.weight_records),
        cosine=None if report.cosine is None else cosine_section(report.cosine),
        scores=None if report.scores is None else score_section(report.scores),
        yardstick=YARDSTICK,
    )


def make_visible(text: str) -> str:
    """Replace characters that cannot be seen by their code points."""
    return "".join(
        f"[U+{ord(letter):04X}]" if letter not in JOINERS and unicodedata.category(letter) in INVISIBLE else letter
        for letter in text
    )


def span_of(figures: LengthFigures) -> str:
    """The bin's lengths, such as "9–16" or "257 or more"."""
    return f"{figures.first}–{figures.last}" if figures.last is not None else f"{figures.first} or more"


def _render(template: str, **values: Any) -> str:
    """Fill in a template. Every value is escaped, and shows its invisible characters as code points."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cut": _cut, "error_of": error_of, "span": span_of}
    environment.globals |= {"SHOWN_CHARACTERS": SHOWN_CHARACTERS, "SHOWN_DIGITS": SHOWN_DIGITS}
    return environment.get_template(template).render(values)


def _finalize(value: Any) -> Any:
    """Make text visible, except what is HTML already."""
    return make_visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
