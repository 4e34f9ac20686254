from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from manifest import ONLY_ENCODER, PoolingMode, TextModel
from runtime.api.vectorize import VectorizeEndpoint
from runtime.clip.request import VectorizeRequest
from runtime.clip.vectorizer import Vectors
from runtime.errors import InvalidRequest
from runtime.literals.long_string import LongString
from tests.support.bundles.text_models import a_text_model

MODEL: TextModel = a_text_model()


def parse(fields: Any) -> VectorizeRequest:
    return endpoint().parse(json.dumps(fields).encode())


@pytest.mark.parametrize("fields", [{}, {"texts": None, "images": None}, {"texts": [], "images": []}, {"other": 1}])
def test_what_is_absent_is_empty(fields: dict[str, Any]):
    assert parse(fields) == VectorizeRequest((), ())


def test_texts_are_requests_of_the_models_own_encoder():
    request = parse({"texts": ["a", "", "😀"], "images": ["aGVsbG8="]})
    assert [text.text for text in request.texts] == ["a", "", "😀"]
    assert {text.encoder for text in request.texts} == {ONLY_ENCODER}
    assert {text.pooling for text in request.texts} == {MODEL.encoders[ONLY_ENCODER].pooling.modes}
    assert request.images == ("aGVsbG8=",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([], "the body must be an object with texts, images or both, not a list"),
        ({"texts": "a"}, "texts must be a list of strings, not a string"),
        ({"texts": {}}, "texts must be a list of strings, not an object"),
        ({"images": 1}, "images must be a list of strings, not a number"),
        ({"images": ["a", None]}, "images[1] must be a string, not null"),
        ({"texts": ["a", ["b"]]}, "texts[1] must be a string, not a list"),
    ],
)
def test_what_is_not_a_list_of_strings_is_refused_by_name(fields: Any, message: str):
    with pytest.raises(InvalidRequest) as error:
        parse(fields)
    assert str(error.value) == message


@pytest.mark.parametrize("body", [b"", b"{", b'{"texts": ["\xff"]}', b"nul"])
def test_what_is_not_json_is_refused(body: bytes):
    with pytest.raises(InvalidRequest, match="the body is not valid JSON in UTF-8"):
        endpoint().parse(body)


def endpoint(fits: bool = True) -> VectorizeEndpoint:
    async def vectors(request: VectorizeRequest, deadline: float | None) -> Vectors:
        texts, images = len(request.texts), len(request.images)
        return Vectors([np.full(2, 0.5, np.float32)] * texts, [np.full(2, deadline, np.float32)] * images)

    return VectorizeEndpoint(vectors, lambda request: fits, MODEL)


def test_an_answer_has_both_lists():
    one = endpoint()
    item = one.parse(b'{"texts": ["a"], "images": ["b", "c"]}')
    answer = json.loads(asyncio.run(one.answer(item, 1.5)))
    assert answer == {"textVectors": [[0.5, 0.5]], "imageVectors": [[1.5, 1.5], [1.5, 1.5]]}


def test_an_empty_request_has_an_empty_answer():
    one = endpoint()
    assert json.loads(asyncio.run(one.answer(one.parse(b"{}"), 1.0))) == {"textVectors": [], "imageVectors": []}


def test_the_size_of_a_request_has_what_reading_its_images_takes():
    one = endpoint()
    image = "A" * 1_000_000
    # Those of large requests ones are read from the body, whose own bytes are counted by those who keep it.
    assert one.size(one.parse(json.dumps({"images": [image, image]}).encode())) >= 3_000_000
    assert one.size(one.parse(json.dumps({"images": [image[:1000]] * 10}).encode())) >= 25_000
    assert one.size(one.parse(json.dumps({"texts": [image]}).encode())) >= 1_000_000


def test_a_request_fits_if_all_its_texts_do():
    assert endpoint(fits=True).fits(endpoint().parse(b'{"texts": ["a"]}'))
    assert not endpoint(fits=False).fits(endpoint().parse(b'{"texts": ["a"]}'))
    assert endpoint(fits=False).fits(endpoint().parse(b'{"images": ["a"]}'))


def test_a_pooling_of_the_request_is_the_models():
    assert PoolingMode.CLS not in parse({"texts": ["a"], "config": {"pooling_strategy": "cls"}}).texts[0].pooling


LARGE = "A" * (1 << 20)


def test_long_images_of_a_large_request_stay_in_its_body():
    body = json.dumps({"texts": ["a", LARGE, "é" * 70_000], "images": ["b", LARGE, LARGE + "\n/"]}).encode()
    request = endpoint().parse(body)
    assert [text.text for text in request.texts] == ["a", LARGE, "é" * 70_000]
    assert request.images[0] == "b"
    long = request.images[1:]
    assert all(isinstance(image, LongString) for image in long)
    assert [image.text() for image in long if isinstance(image, LongString)] == [LARGE, LARGE + "\n/"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f'{{"images": "{LARGE}"}}', "images must be a list of strings, not a string"),
        (f'["{LARGE}"]', "the body must be an object with texts, images or both, not a list"),
        (f'"{LARGE}"', "the body must be an object with texts, images or both, not a string"),
        (f'{{"images": ["{LARGE}", 1]}}', "images[1] must be a string, not a number"),
        (f'{{"images": ["{LARGE}', "the body is not valid JSON in UTF-8: a string has no end"),
        (f'{{"images": ["{LARGE}"]', "the body is not valid JSON in UTF-8: unexpected end of data"),
        (f'{{"images": ["{LARGE}\n"]}}', "the body is not valid JSON in UTF-8: unexpected control character in string"),
        ("[" * len(LARGE), "the body has more than 65536 bytes of JSON outside its strings, the limit of this server"),
    ],
)
def test_what_is_wrong_with_a_large_body_is_said_as_of_a_small_one(body: str, message: str):
    with pytest.raises(InvalidRequest) as error:
        endpoint().parse(body.encode())
    assert str(error.value).startswith(message)


def test_a_large_body_is_parsed_in_steps_of_a_part_of_it():
    steps = endpoint().parse_in_steps(json.dumps({"images": [LARGE * 8]}).encode())
    assert len(list(steps)) > 50
