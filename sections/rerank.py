"""The section of rerankers: how a query and a document become the original's score."""

from __future__ import annotations

from dataclasses import dataclass

from sections.base import BundleError, require_name
from sections.parts import Activation, Encoder, Graph


@dataclass(frozen=True)
class RerankModel:
    """What the runtime needs to know to score a document for a query."""

    encoder: Encoder
    """Reads both texts at once. Its last layer ends at one number, the logit."""
    activation: Activation
    """Turns a logit into a score."""
    token_types: bool
    """Whether the model is told which of the two texts a token belongs to."""
    graphs: dict[str, Graph]

    @property
    def graph(self) -> Graph:
        """The encoder's graph."""
        return self.graphs[self.encoder.graph]

    def files(self) -> set[str]:
        """The graph with its weights, the tokenizer, and the tensors of the layers after pooling."""
        return {name for graph in self.graphs.values() for name in (graph.file, graph.weights)} | self.encoder.files()

    def check(self) -> None:
        """Raises ``BundleError`` that names the first field whose value cannot be."""
        require_name("rerank.encoder.graph", self.encoder.graph, self.graphs)
        for name, graph in self.graphs.items():
            graph.check(f"rerank.graphs.{name}")
        self.encoder.check("rerank.encoder", self.graphs, {})
        if not self.encoder.layers:
            raise BundleError("rerank.encoder.layers is empty")
