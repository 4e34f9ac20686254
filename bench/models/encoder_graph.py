"""Finds the graph of a bundle whose encoder is timed."""

from __future__ import annotations

from pathlib import Path

from manifest import Graph, RerankModel, TextModel, read_manifest


def encoder_graph(bundle: Path) -> Graph:
    """The graph of a text model or a reranker. Raises ``BundleError`` for any other bundle."""
    manifest = read_manifest(bundle)
    if isinstance(manifest.section, RerankModel):
        return manifest.section.graph
    model = manifest.section_as(TextModel)
    return model.graphs[model.main_encoder.graph]
