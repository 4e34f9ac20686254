"""``/``, ``/embed``, ``/embed_all`` and ``/tokenize``, as clients of text-embeddings-inference ask."""

from __future__ import annotations

from runtime.api.embeddings.asked import Asked, Choice, Served
from runtime.api.embeddings.fields import (
    Fields,
    check_normalize,
    check_only,
    dimensions_schema,
    normalize_schema,
    read_dimensions,
    read_flag,
    read_texts,
    texts_schema,
)
from runtime.api.embeddings.layout import Layout
from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import (
    BOOLEAN,
    COUNT,
    FLAG,
    STRING,
    VECTORS,
    Schema,
    array_of,
    integer,
    object_of,
    optional,
)
from runtime.api.vectors_fields import prompt_schema, read_prompt_name

DIRECTIONS = ("right", "Right")

LISTS = Layout(b"[", lambda tokens: b"]")


def parse_inputs(fields: Fields, served: Served) -> Asked:
    """Parse ``inputs``. Unknown keys are ignored, as ``options`` is. Raises ``InvalidRequest``."""
    texts, is_list = read_texts(fields, "inputs", served)
    check_normalize(fields, "normalize", served)
    check_only(fields, "truncation_direction", DIRECTIONS)
    choice = Choice(
        prompt_name=read_prompt_name(fields, served.prompts, ""),
        dimensions=read_dimensions(fields, "dimensions", served),
        refuses_long=read_flag(fields, "truncate") is False,
    )
    return Asked(texts, "inputs", is_list, choice, LISTS)


def parse_all(fields: Fields, served: Served) -> Asked:
    """Parse the ``inputs`` of which every token's vector is asked for. Raises ``InvalidRequest``."""
    texts, is_list = read_texts(fields, "inputs", served)
    check_only(fields, "truncation_direction", DIRECTIONS)
    choice = Choice(
        prompt_name=read_prompt_name(fields, served.prompts, ""),
        refuses_long=read_flag(fields, "truncate") is False,
    )
    return Asked(texts, "inputs", is_list, choice, LISTS)


def parse_tokenize(fields: Fields, served: Served) -> Asked:
    """Parse the ``inputs`` whose tokens are asked for. Raises ``InvalidRequest``."""
    texts, is_list = read_texts(fields, "inputs", served)
    choice = Choice(
        prompt_name=read_prompt_name(fields, served.prompts, ""),
        special_tokens=read_flag(fields, "add_special_tokens") is not False,
    )
    return Asked(texts, "inputs", is_list, choice, LISTS)


def describe_inputs(served: Served) -> Operation:
    """What ``parse_inputs`` accepts, and what is answered."""
    fields = {
        **_common_fields(served),
        **_cutting_fields(),
        "normalize": normalize_schema(served),
        "dimensions": dimensions_schema(served),
    }
    return Operation("Vectors of texts, in the shape of text-embeddings-inference", _request(fields), VECTORS)


def describe_all(served: Served) -> Operation:
    """What ``parse_all`` accepts, and what is answered."""
    fields = {**_common_fields(served), **_cutting_fields()}
    return Operation("Vectors of all tokens of texts", _request(fields), array_of(VECTORS))


def describe_tokenize(served: Served) -> Operation:
    """What ``parse_tokenize`` accepts, and what is answered."""
    fields = {**_common_fields(served), "add_special_tokens": FLAG}
    place = integer(0)
    token = object_of({"id": COUNT, "text": STRING, "special": BOOLEAN, "start": place, "stop": place})
    return Operation("Tokens of texts", _request(fields), array_of(array_of(token)))


def _common_fields(served: Served) -> dict[str, Schema]:
    return {"inputs": texts_schema(served), "prompt_name": prompt_schema(served.prompts)}


def _cutting_fields() -> dict[str, Schema]:
    return {"truncate": FLAG, "truncation_direction": optional(*DIRECTIONS)}


def _request(fields: dict[str, Schema]) -> Schema:
    return object_of(fields, ["inputs"])


def tei_error(sentence: str, status: int) -> dict[str, object]:
    """The shape of an error."""
    return {"error": sentence, "error_type": "Validation" if status < 500 else "Backend"}
