"""The kind ``static`` of the benchmark."""

from __future__ import annotations

from bench.load.loads import Group
from bench.server.fidelity import vectors_by
from bench.server.kind import BenchKind, BenchModel
from bench.static.loads import STATIC_LOADS
from bench.static.model import NAME, distilled_model
from bench.static.original import model2vec_vectors
from bench.static.systems import PRECISION, STATIC_SYSTEMS

STATIC = BenchKind(
    name="static",
    about="a static model, beside Weaviate's text2vec-model2vec and the HTTP server alone",
    models=(BenchModel(NAME, distilled_model, STATIC_LOADS),),
    precision=PRECISION,
    systems=STATIC_SYSTEMS,
    default_groups=(Group.KEPT, Group.WEAVIATE),
    original=vectors_by(model2vec_vectors),
)
