"""``/embed_all`` and ``/tokenize``: each token of a text, as the model sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from tests.support.server.server_process import Answer, Server, ready

TEXTS = ["hello world", "", "图书馆 🙂", "a NUL \0 inside", "Riverbanks, unbelievably!", "bread " * 40]
LONG = "bread and butter. " * 600
"""More than a window."""
WINDOW = 256


@pytest.fixture(scope="module")
def server(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(default_bundle, tmp_path_factory.mktemp("log") / "log", MAX_TEXTS="40") as server:
        yield server


def post(server: Server, path: str, body: dict[str, Any]) -> Answer:
    with server.connect() as connection:
        return connection.request("POST", path, json.dumps(body).encode())


def vectors(server: Server, **body: Any) -> list[np.ndarray]:
    answer = post(server, "/embed_all", body)
    assert answer.status == 200, answer.body
    return [np.asarray(each, np.float32) for each in answer.json]


def tokens(server: Server, **body: Any) -> list[list[dict[str, Any]]]:
    answer = post(server, "/tokenize", body)
    assert answer.status == 200, answer.body
    found: list[list[dict[str, Any]]] = answer.json
    return found


def unit(vector: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = vector / np.linalg.norm(vector)
    return scaled


def test_the_mean_of_a_texts_tokens_is_its_vector(server: Server):
    for text, rows in zip(TEXTS, vectors(server, inputs=TEXTS), strict=True):
        assert rows.shape[1] == 384
        expected = np.asarray(server.embed(text).json["vector"], np.float32)
        np.testing.assert_allclose(unit(rows.mean(axis=0)), expected, atol=1e-6)


def test_each_tokens_vector_is_close_to_the_originals(server: Server, original: SentenceTransformer):
    for text, rows in zip(TEXTS, vectors(server, inputs=TEXTS), strict=True):
        expected = original.encode(text, output_value="token_embeddings").numpy()
        assert rows.shape == expected.shape
        assert min(unit(ours) @ unit(theirs) for ours, theirs in zip(rows, expected, strict=True)) > 0.9


def test_there_is_a_vector_for_each_token_that_is_listed(server: Server):
    listed, rows = tokens(server, inputs=TEXTS), vectors(server, inputs=TEXTS)
    assert [len(each) for each in listed] == [len(each) for each in rows]


def test_a_single_text_is_answered_as_a_list_of_one(server: Server):
    (alone,) = vectors(server, inputs="hello world")
    np.testing.assert_array_equal(alone, vectors(server, inputs=TEXTS)[0])
    assert tokens(server, inputs="hello world") == tokens(server, inputs=TEXTS)[:1]


def test_tokens_are_the_originals_with_the_characters_that_they_stand_for(
    server: Server, original: SentenceTransformer
):
    tokenizer = original.tokenizer
    for text, listed in zip(TEXTS, tokens(server, inputs=TEXTS), strict=True):
        expected = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True, truncation=False)
        assert [each["id"] for each in listed] == expected["input_ids"]
        assert [each["special"] for each in listed] == [bool(each) for each in expected["special_tokens_mask"]]
        for each, (start, stop) in zip(listed, expected["offset_mapping"], strict=True):
            if each["special"]:
                assert (each["start"], each["stop"]) == (None, None)
                assert each["text"] in ("[CLS]", "[SEP]")
            else:
                assert (each["start"], each["stop"], each["text"]) == (start, stop, text[start:stop])


def test_special_tokens_are_left_out_where_the_request_says_so(server: Server):
    with_them, without = tokens(server, inputs=TEXTS), tokens(server, inputs=TEXTS, add_special_tokens=False)
    assert without == [[each for each in listed if not each["special"]] for listed in with_them]


def test_a_text_of_any_length_is_tokenized_as_a_whole(server: Server, original: SentenceTransformer):
    text = "The ferry leaves at seven. " * 4000
    (listed,) = tokens(server, inputs=text, add_special_tokens=False)
    expected = original.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    assert [each["id"] for each in listed] == expected
    assert "".join(each["text"] for each in listed) == text.replace(" ", "")


def test_vectors_are_those_of_the_first_window_unless_the_request_forbids_it(server: Server):
    (rows,) = vectors(server, inputs=LONG, truncate=True)
    assert len(rows) == WINDOW
    np.testing.assert_array_equal(rows, vectors(server, inputs=[LONG])[0])
    answer = post(server, "/embed_all", {"inputs": ["short", LONG], "truncate": False})
    assert answer.status == 400
    assert answer.json["error"].startswith("inputs[1]: text must have at most 256 tokens")
    assert answer.json["error_type"] == "Validation"


def test_exactly_a_window_is_answered_where_truncation_is_forbidden_and_one_token_more_is_not(server: Server):
    text = "bread " * (WINDOW - 2)
    (rows,) = vectors(server, inputs=text, truncate=False)
    assert len(rows) == WINDOW
    assert post(server, "/embed_all", {"inputs": f"{text} bread", "truncate": False}).status == 400


@pytest.mark.parametrize("path", ["/embed_all", "/tokenize"])
def test_a_wrong_field_is_a_400_that_names_it(server: Server, path: str):
    for body, message in (
        ({}, "inputs is missing"),
        ({"inputs": []}, "inputs must have from 1 to 40 texts"),
        ({"inputs": ["a"] * 41}, "inputs must have from 1 to 40 texts"),
        ({"inputs": ["a", 1.5]}, "inputs[1] must be a string, not a number"),
        ({"inputs": "a", "prompt_name": "query"}, "prompt_name must be absent"),
        ({"inputs": "a", "truncate": 1, "add_special_tokens": 1}, ""),
    ):
        answer = post(server, path, body)
        assert answer.status == 400
        assert answer.json["error"].startswith(message)
        assert answer.json["error_type"] == "Validation"
