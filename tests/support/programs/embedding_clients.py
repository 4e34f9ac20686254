"""Asks a server for vectors through the clients that people use, and prints what each understood as JSON.

Runs in the environment ``clients``: ``embedding_clients.py ADDRESS < texts.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import cohere  # type: ignore[import-not-found]
import huggingface_hub
import langchain_openai  # type: ignore[import-not-found]
import ollama  # type: ignore[import-not-found]
import openai  # type: ignore[import-not-found]
from llama_index.embeddings.openai_like import OpenAILikeEmbedding  # type: ignore[import-not-found]

Texts = list[str]


def by_openai(address: str, texts: Texts) -> Any:
    client = openai.OpenAI(api_key="none", base_url=f"{address}/v1", max_retries=0)
    return [each.embedding for each in client.embeddings.create(model="any", input=texts).data]


def by_openai_as_floats(address: str, texts: Texts) -> Any:
    client = openai.OpenAI(api_key="none", base_url=f"{address}/v1", max_retries=0)
    found = client.embeddings.create(model="any", input=texts, encoding_format="float")
    return [each.embedding for each in found.data]


def by_langchain(address: str, texts: Texts) -> Any:
    client = langchain_openai.OpenAIEmbeddings(
        api_key="none", base_url=f"{address}/v1", model="any", check_embedding_ctx_length=False
    )
    return client.embed_documents(texts)


def by_llama_index(address: str, texts: Texts) -> Any:
    client = OpenAILikeEmbedding(model_name="any", api_key="none", api_base=f"{address}/v1", max_retries=0)
    return client.get_text_embedding_batch(texts)


def by_ollama(address: str, texts: Texts) -> Any:
    return ollama.Client(address).embed(model="any", input=texts).embeddings


def by_older_ollama(address: str, texts: Texts) -> Any:
    client = ollama.Client(address)
    return [client.embeddings(model="any", prompt=text).embedding for text in texts]


def by_huggingface(address: str, texts: Texts) -> Any:
    client = huggingface_hub.InferenceClient(base_url=address)
    return [client.feature_extraction(text)[0].tolist() for text in texts]


def by_older_cohere(address: str, texts: Texts) -> Any:
    client = cohere.Client(api_key="none", base_url=address)
    return client.embed(texts=texts, model="any", input_type="search_document").embeddings


def by_cohere(address: str, texts: Texts) -> Any:
    client = cohere.ClientV2(api_key="none", base_url=address)
    found = client.embed(texts=texts, model="any", input_type="search_document", embedding_types=["float"])
    return found.embeddings.float_


def error_of_openai(address: str, texts: Texts) -> Any:
    client = openai.OpenAI(api_key="none", base_url=f"{address}/v1", max_retries=0)
    try:
        client.embeddings.create(model="any", input=[[1, 2, 3]])
    except openai.BadRequestError as error:
        return error.body
    return None


CLIENTS: dict[str, Callable[[str, Texts], Any]] = {
    "openai": by_openai,
    "openai as floats": by_openai_as_floats,
    "langchain-openai": by_langchain,
    "llama-index": by_llama_index,
    "ollama": by_ollama,
    "older ollama": by_older_ollama,
    "huggingface_hub": by_huggingface,
    "older cohere": by_older_cohere,
    "cohere": by_cohere,
}


def main(address: str) -> None:
    texts = json.load(sys.stdin)
    found = {name: client(address, texts) for name, client in CLIENTS.items()}
    json.dump({"vectors": found, "error": error_of_openai(address, texts)}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
