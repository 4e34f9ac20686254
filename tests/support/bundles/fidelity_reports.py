"""Fidelity reports for tests, and manifests to go with them."""

from __future__ import annotations

from typing import Any

from build.fidelity.cpu_classes import CpuClass
from build.fidelity.report import FidelityReport, MeasuredClass, MeasuredText, cosine_report
from build.fidelity.thresholds import Thresholds
from build.quantization.record import WeightRecord
from manifest import (
    SCHEMA,
    CosineFigures,
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

WEIGHT_RECORDS = (
    WeightRecord("layer.0.query", (384, 384), "int8, one scale per column", 0.75, 0, True, "gptq", 0.00421),
    WeightRecord("layer.1.query", (384, 384), "int8, one scale per column", 0.75, 0, True, "gptq", 0.00512),
    WeightRecord("layer.0.down", (1536, 384), "int8, one scale per column", None, 16, False, "gptq", None),
    WeightRecord("table", (30522, 384), "int8, one scale per row", None, 0, False, "nearest", None),
    WeightRecord("positions", (512, 384), "fp32", None, 0, False, "nearest", None),
)


CPU_CLASS = CpuClass("u8 x s8, exact", "CPUs of a kind", "They round in a certain way.")


def measured(
    number: int = 1, text: str = "a text", tokens: int = 5, cosine: float = 0.99, **values: Any
) -> MeasuredText:
    return MeasuredText(number, text, **{"task": None, "prompt_name": None} | values, tokens=tokens, cosine=cosine)


def a_report(
    texts: list[MeasuredText] | None = None,
    weight_records: tuple[WeightRecord, ...] = WEIGHT_RECORDS,
    stock_kernels: dict[str, str] | None = None,
) -> FidelityReport:
    texts = texts or [measured(n, f"text {n}", tokens=5 * n, cosine=round(1 - n / 4000, 6)) for n in range(1, 61)]
    figures = CosineFigures(count=len(texts), mean=0.992375, p1=0.985147, minimum=0.985)
    measured_class = MeasuredClass(CPU_CLASS, figures, tuple(texts), golden=())
    cosine = cosine_report([measured_class], Thresholds(0.99, 0.975, 0.95))
    return FidelityReport(cosine, weight_records, stock_kernels or {})


def a_manifest(**values: Any) -> Manifest:
    text = a_text_model()
    plain: dict[str, Any] = {
        "schema": SCHEMA,
        "version": "1.2.3",
        "model": "org/model",
        "source": Source(SourceKind.HUB, "c0ffee"),
        "licence": None,
        "kind": Kind.TEXT,
        "target": Target.AMD64,
        "precision": Precision.INT8,
        "files": {name: FileEntry(1, f"{number:064x}") for number, name in enumerate(bundle_files(text))},
        "tools": {},
        "fidelity": None,
        "section": text,
    }
    return Manifest(**plain | values)
