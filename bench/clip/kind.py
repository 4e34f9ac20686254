"""The kind ``clip`` of the benchmark."""

from __future__ import annotations

from bench.clip.loads import CLIP_LOADS
from bench.clip.models import NAME, vit_b_32
from bench.clip.original import clip_vectors
from bench.clip.systems import BUILD_OPTIONS, CLIP_SYSTEMS, PRECISION
from bench.load.loads import Group
from bench.server.kind import BenchKind, BenchModel

CLIP = BenchKind(
    name="clip",
    about="an untrained model of texts and images, beside Weaviate's multi2vec-clip",
    models=(BenchModel(NAME, vit_b_32, CLIP_LOADS),),
    precision=PRECISION,
    systems=CLIP_SYSTEMS,
    default_groups=(Group.KEPT,),
    original=clip_vectors,
    build_options=BUILD_OPTIONS,
)
