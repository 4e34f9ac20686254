"""Asks a server for a ranking through Cohere's own clients, and prints what they understood as JSON.

Runs in the environment ``clients``: ``cohere_client.py ADDRESS < request.json``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import cohere  # type: ignore[import-not-found]


def ranking(client: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The results as pairs of index and score, or the error's status and body."""
    try:
        results = client.rerank(**request).results
    except cohere.core.ApiError as error:
        return {"status": error.status_code, "body": error.body}
    return {"results": [[result.index, result.relevance_score] for result in results]}


def main(address: str) -> None:
    request = json.load(sys.stdin)
    clients = {"v1": cohere.Client, "v2": cohere.ClientV2}
    found = {name: ranking(client(api_key="none", base_url=address), request) for name, client in clients.items()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
