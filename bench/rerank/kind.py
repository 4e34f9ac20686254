"""The kind ``rerank`` of the benchmark."""

from __future__ import annotations

from bench.load.loads import Group
from bench.rerank.loads import BASE_LOADS, SMALL_LOADS
from bench.rerank.models import minilm, xlm_roberta_base
from bench.rerank.original import cross_encoder_scores
from bench.rerank.systems import BUILD_OPTIONS, PRECISION, RERANK_SYSTEMS
from bench.server.kind import BenchKind, BenchModel

RERANK = BenchKind(
    name="rerank",
    about="untaught rerankers of two sizes, beside Weaviate's reranker-transformers",
    models=(
        BenchModel("ms-marco-MiniLM-L6", minilm, SMALL_LOADS),
        BenchModel("bge-reranker-base", xlm_roberta_base, BASE_LOADS),
    ),
    precision=PRECISION,
    systems=RERANK_SYSTEMS,
    default_groups=(Group.KEPT,),
    original=cross_encoder_scores,
    build_options=BUILD_OPTIONS,
)
