"""Decides which graphs the native kernels compute, and says why not where they do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from build.graph.external_data import load_graph
from build.graph.index import GraphIndex
from build.model.describe import EncoderSpec
from build.model.families import whole_number
from build.model.files import CONFIG
from build.model.json_files import read_object
from build.native.encoder import NativeEncoder, NotNative
from build.native.matcher import read_encoder
from build.native.patterns import native_family


@dataclass(frozen=True)
class NativePlan:
    """A graph in fp32, and the encoder that it is."""

    parts: GraphIndex
    encoder: NativeEncoder


@dataclass(frozen=True)
class Plans:
    """By a transformer's folder: what the native kernels compute; why they do not, as part of a sentence."""

    native: dict[Path, NativePlan]
    stock: dict[Path, str]


NOTHING_NATIVE = Plans({}, {})


def plan_native(graphs: Mapping[Path, Path], encoders: Mapping[Path, EncoderSpec]) -> Plans:
    """``graphs``: exports in fp32, with their weights beside them; both by the transformer's folder."""
    plans = Plans({}, {})
    for folder, graph in graphs.items():
        try:
            plans.native[folder] = _plan(graph, encoders[folder])
        except NotNative as reason:
            plans.stock[folder] = str(reason)
    return plans


def _plan(graph: Path, encoder: EncoderSpec) -> NativePlan:
    family = native_family(encoder.family.model_type)
    if family is None:
        raise NotNative(f"the native kernels have no {encoder.family.model_type}")
    parts = GraphIndex(load_graph(graph), graph.parent)
    heads = whole_number(read_object(encoder.folder, CONFIG), encoder.family.keys.heads)
    return NativePlan(parts, read_encoder(parts, family, heads))
