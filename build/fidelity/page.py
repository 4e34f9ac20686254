"""Writes ``fidelity.html``: the report for people, one file that needs nothing else. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from build.fidelity.charts import error_by_length, histogram, span_of
from build.fidelity.html import escaped, isolated, table
from build.fidelity.report import FidelityReport, Measured
from build.quantization.record import WeightRecord
from manifest import Manifest, Precision, TextModel

SHOWN_CHARACTERS = 200
SHOWN_DIGITS = 12

STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1d2327;--soft:#5a656d;--line:#d5dbe0;--bar:#2f6fb2;--mark:#1d2327}
@media(prefers-color-scheme:dark){
:root{--back:#15191c;--text:#e4e8eb;--soft:#a1abb3;--line:#363e44;--bar:#6ba5e0;--mark:#e4e8eb}}
*{box-sizing:border-box}
body{background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:46rem;
padding:1rem}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2rem 0 .5rem}
p,figcaption,caption,.soft{color:var(--soft)}
figure{margin:0}
svg{display:block;width:100%;max-width:36rem;height:auto;font-size:14px}
svg text{fill:var(--text)}
.count{font-size:12px;text-anchor:middle}
.bar{fill:var(--bar)}
.axis{stroke:var(--line);fill:none}
.range{stroke:var(--mark);fill:none;stroke-width:1.5}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%}
caption{text-align:start;padding:.25rem 0}
th,td{border-bottom:1px solid var(--line);padding:.3rem .75rem .3rem 0;text-align:start;vertical-align:top}
thead th{color:var(--soft);font-weight:normal}
tbody th{font-weight:normal}
.n{font-variant-numeric:tabular-nums;text-align:end;white-space:nowrap}
bdi,.name{overflow-wrap:anywhere}
summary{cursor:pointer;padding:.35rem 0}
"""

HEAD = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
)

UNVERIFIED_PAGE = f"{HEAD}<title>Not verified</title>\n</head>\n<body><p>Not verified.</p></body>\n</html>\n"
"""What a bundle has in place of the page before it is verified."""


def fidelity_page(report: FidelityReport, manifest: Manifest) -> str:
    """The whole page. The same report on the same files gives the same bytes.

    NOTE: neither source nor target is shown, because files are the same wherever a model came from and whatever they
    are for; the weights' hash says which bundle this is about.
    """
    graphs = manifest.section_as(TextModel).graphs
    weights = [manifest.files[graph.weights].sha256 for graph in graphs.values()]
    identity = ", ".join(f"sha256 {digest[:SHOWN_DIGITS]}…" for digest in weights)
    body = [
        f"<h1>How near {escaped(manifest.model)} in {manifest.precision} is to the original</h1>",
        "<p>Cosines between the vectors of this bundle, served by the real runtime, and those of the original model in "
        f"fp32. 1 is the same direction. Weights: <code>{identity}</code>; revision, target and licence are in "
        "<code>manifest.json</code> beside this page, the same figures for programs in <code>fidelity.json</code>.</p>",
        *_classes(report),
        *_distribution(report),
        *_lengths(report),
        *_worst(report.worst),
        *_treatments(report.treatments, manifest.precision),
        *_stock_kernels(report.stock_kernels),
    ]
    title = f"Fidelity of {escaped(manifest.model)}, {manifest.precision}"
    lines = [f"<title>{title}</title>", f"<style>{STYLE}</style>", "</head>", "<body>", *body, "</body>", "</html>"]
    return HEAD + "\n".join(lines) + "\n"


def _classes(report: FidelityReport) -> list[str]:
    bounds = report.thresholds
    parts = ["<h2>Figures</h2>"]
    for name, found in report.classes.items():
        figures = found.fidelity
        rows = [
            ("Mean", figures.mean, bounds.mean),
            ("1st percentile", figures.p1, bounds.p1),
            ("Minimum", figures.minimum, bounds.minimum),
        ]
        caption = f"Arithmetic <b>{escaped(name)}</b>, on {figures.count} held-out texts. {escaped(found.cpus)}"
        cells = ([row[0], f"{row[1]:.6f}", f"{row[2]:g}"] for row in rows)
        parts.append(table(caption, ("", "cosine", "at least"), cells, numbers=(1, 2)))
    return parts


def _distribution(report: FidelityReport) -> list[str]:
    caption = "Texts by their cosine. The axis ends at 1; the numbers above the bars are texts."
    return [
        "<h2>Distribution</h2>",
        f"<figure>{histogram([one.cosine for one in report.texts])}<figcaption>{caption}</figcaption></figure>",
    ]


def _lengths(report: FidelityReport) -> list[str]:
    caption = "1 minus the cosine, by tokens of a text: the bar is the mean, the mark and the number are the worst."
    rows = ([span_of(one), str(one.texts), f"{one.cosine_mean:.6f}", f"{one.cosine_min:.6f}"] for one in report.lengths)
    return [
        "<h2>Error by length</h2>",
        f"<figure>{error_by_length(report.lengths)}<figcaption>{caption}</figcaption></figure>",
        table("The same in cosines", ("tokens", "texts", "mean", "lowest"), rows, numbers=(1, 2, 3)),
    ]


def _worst(worst: Sequence[Measured]) -> list[str]:
    rows = ([f"{one.cosine:.6f}", str(one.tokens), isolated(one.text, SHOWN_CHARACTERS) + _way(one)] for one in worst)
    return [
        "<h2>Worst texts</h2>",
        table(
            "Characters that cannot be seen are shown by their numbers.",
            ("cosine", "tokens", "text"),
            rows,
            numbers=(0, 1),
        ),
    ]


def _way(one: Measured) -> str:
    """The task or prompt that the text was asked for with."""
    given = f"prompt {one.prompt_name}" if one.prompt_name is not None else f"task {one.task}" if one.task else ""
    return f' <span class="soft">({escaped(given)})</span>' if given else ""


def _treatments(treatments: Sequence[WeightRecord], precision: Precision) -> list[str]:
    parts = ["<h2>What was quantized how</h2>"]
    if not treatments:
        told = "Nothing: all weights are in fp32." if precision is Precision.FP32 else "This build did not record it."
        return [*parts, f"<p>{told}</p>"]
    kinds: dict[str, list[WeightRecord]] = {}
    for one in treatments:
        kinds.setdefault(_kind(one), []).append(one)
    for kind, weights in kinds.items():
        rows = ([f'<span class="name">{escaped(one.weight)}</span>', _shape(one), _error(one)] for one in weights)
        listed = table("", ("weight", "shape", "error"), rows, numbers=(1, 2))
        count = f"{len(weights)} weight{'' if len(weights) == 1 else 's'}"
        parts.append(f"<details><summary>{count}: {escaped(kind)}</summary>{listed}</details>")
    parts.append("<p>Error: of what a weight yields on calibration texts, root mean square, relative.</p>")
    return parts


def _stock_kernels(reasons: dict[str, str]) -> list[str]:
    """Why graphs that native kernels were asked for have none."""
    told = (f"<code>{escaped(name)}</code>: {escaped(reason)}" for name, reason in reasons.items())
    return [f"<p>Computed by onnxruntime's own kernels: {one}.</p>" for one in told]


def _kind(one: WeightRecord) -> str:
    """What weights that were treated alike have in common."""
    if one.storage == "fp32":
        return one.storage
    where = "folded into the layer before or the product itself" if one.folded else "by a node of its own"
    smoothed = [] if one.smoothing is None else [f"SmoothQuant with alpha {one.smoothing:g}"]
    repeated = [f"input channels: {one.repeated} added by repeating the largest"] if one.repeated else []
    inputs = ", ".join([*smoothed, *repeated, where]) if smoothed or repeated else "not smoothed"
    return f"{one.storage}; rounded by {one.rounding}; {inputs}"


def _shape(one: WeightRecord) -> str:
    return " × ".join(map(str, one.shape))


def _error(one: WeightRecord) -> str:
    return "–" if one.error is None else f"{one.error:.2%}"
