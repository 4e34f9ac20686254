"""Decides which graphs run on the native kernels, or tells why one does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from build.graph.external_data import load_graph
from build.graph.index import GraphIndex
from build.model.describe import EncoderSpec
from build.model.families import whole_number
from build.model.files import CONFIG
from build.model.json_files import read_object
from build.native.encoder import NativeEncoder, NotNative
from build.native.matcher import match_encoder
from build.native.patterns import native_family


@dataclass(frozen=True)
class NativePlan:
    """A graph in fp32, and the encoder that it was matched with."""

    graph: GraphIndex
    encoder: NativeEncoder


def plan_native(graph: Path, encoder: EncoderSpec, token_types: bool = False) -> NativePlan:
    """Match an exported graph, which has its fp32 weights beside it. Raises ``NotNative`` with the reason why not.

    ``token_types``: whether the native graph gets an input of token types, where the exported one has it.
    """
    family = native_family(encoder.family.model_type)
    if family is None:
        raise NotNative(f"the native kernels do not support {encoder.family.model_type}")
    index = GraphIndex(load_graph(graph), graph.parent)
    heads = whole_number(read_object(encoder.folder, CONFIG), encoder.family.keys.heads)
    return NativePlan(index, match_encoder(index, family, heads, token_types))
