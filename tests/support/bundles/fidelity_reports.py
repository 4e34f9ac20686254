"""Fidelity reports for tests, and manifests to go with them."""

from __future__ import annotations

from typing import Any

from build.fidelity.cpu_classes import CpuClass
from build.fidelity.report import ClassFigures, FidelityReport, MeasuredText, cosine_report
from build.fidelity.thresholds import Thresholds
from build.quantization.record import Treatment
from manifest import (
    SCHEMA,
    Fidelity,
    FileEntry,
    Kind,
    Manifest,
    Precision,
    Source,
    SourceKind,
    Target,
    bundle_files,
)
from tests.support.bundles.text_models import a_text_model

TREATMENTS = (
    Treatment("layer.0.query", (384, 384), "int8, one scale per column", 0.75, 0, True, "gptq", 0.00421),
    Treatment("layer.1.query", (384, 384), "int8, one scale per column", 0.75, 0, True, "gptq", 0.00512),
    Treatment("layer.0.down", (1536, 384), "int8, one scale per column", None, 16, False, "gptq", None),
    Treatment("table", (30522, 384), "int8, one scale per row", None, 0, False, "nearest", None),
    Treatment("positions", (512, 384), "fp32", None, 0, False, "nearest", None),
)


CPU_CLASS = CpuClass("u8 x s8, exact", "CPUs of a kind", "They round in a certain way.")


def measured(
    number: int = 1, text: str = "a text", tokens: int = 5, cosine: float = 0.99, **values: Any
) -> MeasuredText:
    return MeasuredText(number, text, **{"task": None, "prompt_name": None} | values, tokens=tokens, cosine=cosine)


def a_report(
    texts: list[MeasuredText] | None = None,
    weight_records: tuple[Treatment, ...] = TREATMENTS,
    stock_kernels: dict[str, str] | None = None,
) -> FidelityReport:
    texts = texts or [measured(n, f"text {n}", tokens=5 * n, cosine=round(1 - n / 4000, 6)) for n in range(1, 61)]
    fidelity = Fidelity(texts=len(texts), cosine_mean=0.992375, cosine_p1=0.985147, cosine_min=0.985)
    cosine = cosine_report([ClassFigures(CPU_CLASS, fidelity)], Thresholds(0.99, 0.975, 0.95), texts)
    return FidelityReport(cosine, weight_records, stock_kernels or {})


def a_manifest(**values: Any) -> Manifest:
    text = a_text_model()
    plain: dict[str, Any] = {
        "schema": SCHEMA,
        "model": "org/model",
        "source": Source(SourceKind.HUB, "c0ffee"),
        "licence": None,
        "kind": Kind.TEXT,
        "target": Target.AMD64,
        "precision": Precision.INT8,
        "files": {name: FileEntry(1, f"{number:064x}") for number, name in enumerate(bundle_files(text))},
        "tools": {},
        "fidelity": None,
        "text": text,
    }
    return Manifest(**plain | values)
