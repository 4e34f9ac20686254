"""The few requests that a reranker's server checks itself on before it reports ready."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from build.fidelity.golden import CHINESE_AND_JAPANESE, MAX_FILLED_TOKENS, PLAIN, fill_window
from build.ranking.heldout import HeldoutQuery
from manifest import GoldenRequest, Tolerance

RERANK_ROUTE = "/rerank"

QUESTION = "When does the ferry leave?"

LOGIT_DECIMALS = 6
"""Expected logits are rounded to this many decimals."""


def golden_queries(tokenizer: Tokenizer, max_tokens: int) -> list[HeldoutQuery]:
    """A query with an empty document, one in Latin and one in CJK script; an empty query; a pair that fills a run."""
    full = fill_window(tokenizer, min(max_tokens, MAX_FILLED_TOKENS))
    return [
        HeldoutQuery(QUESTION, ("", PLAIN, CHINESE_AND_JAPANESE)),
        HeldoutQuery("", (PLAIN,)),
        HeldoutQuery(QUESTION, (full,)),
    ]


def rerank_body(query: HeldoutQuery, raw: bool = True) -> dict[str, Any]:
    """The JSON of a request for logits of all documents."""
    return {"query": query.query, "texts": list(query.documents), "raw_scores": raw}


def golden_request(query: HeldoutQuery, logits: NDArray[np.float64], max_error: float) -> GoldenRequest:
    """``logits``: the original's, (documents,). ``max_error``: how far a correct server may be off."""
    return GoldenRequest(
        RERANK_ROUTE,
        {"query": query.query, "documents": list(query.documents), "raw_scores": True},
        {"scores": [{"score": round(value, LOGIT_DECIMALS)} for value in logits.tolist()]},
        Tolerance(max_error=max_error),
    )


def max_error_of(error: float, largest: float, loss_factor: float, tolerance: float) -> float:
    """How far a correct server's logit may be off: by more than the measured ``error``, and by rounding.

    CPUs sum in different orders, which shows in a logit by ``tolerance`` of the ``largest``. An error grows with the
    root of what a cosine loses.
    """
    allowed = math.sqrt(loss_factor) * error + tolerance * max(1.0, largest)
    return math.ceil(allowed * 10**LOGIT_DECIMALS) / 10**LOGIT_DECIMALS
