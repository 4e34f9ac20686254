"""The kind ``static`` of the benchmark."""

from __future__ import annotations

from bench.load.loads import Group
from bench.server.kind import BenchKind
from bench.static.loads import STATIC_LOADS
from bench.static.model import distilled_model
from bench.static.original import model2vec_vectors
from bench.static.systems import PRECISION, STATIC_SYSTEMS

STATIC = BenchKind(
    name="static",
    about="a static model, beside Weaviate's text2vec-model2vec and the HTTP server alone",
    model=distilled_model,
    precision=PRECISION,
    systems=STATIC_SYSTEMS,
    loads=STATIC_LOADS,
    default_groups=(Group.KEPT, Group.WEAVIATE),
    original=model2vec_vectors,
)
