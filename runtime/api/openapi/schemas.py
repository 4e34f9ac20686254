"""Schemas of JSON (JSON Schema 2020-12, as OpenAPI 3.1 has it): what parsers accept, and what answers are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

ANYTHING: Schema = {}
STRING: Schema = {"type": "string"}
NULL: Schema = {"type": "null"}
BOOLEAN: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": ["boolean", "null"]}
OPTIONAL_STRING: Schema = {"type": ["string", "null"]}
VECTOR: Schema = {"type": "array", "items": NUMBER, "minItems": 1}
VECTORS: Schema = {"type": "array", "items": VECTOR}


def object_of(fields: Mapping[str, Schema], required: Collection[str] | None = None) -> Schema:
    """An object with these fields, and maybe more. ``required``: those that must be there; None: all."""
    names = list(fields if required is None else required)
    return {"type": "object", "properties": dict(fields), **({"required": names} if names else {})}


def array_of(items: Schema, least: int = 0, most: int | None = None) -> Schema:
    """A list of so many items."""
    bounds = {"minItems": least, **({} if most is None else {"maxItems": most})}
    return {"type": "array", "items": items, **bounds}


def either(*schemas: Schema) -> Schema:
    """What fits one of the schemas."""
    return {"anyOf": list(schemas)}


def one_of(values: Sequence[Any]) -> Schema:
    """One of these values."""
    return {"enum": list(values)}


def optional(*values: str) -> Schema:
    """One of these strings, or null."""
    return {"enum": [None, *values]}


def integer(least: int, most: int | None = None) -> Schema:
    """A whole number in this range, or null."""
    return {"type": ["integer", "null"], "minimum": least, **({} if most is None else {"maximum": most})}


def like(value: Any) -> Schema:
    """What has the shape of this value: objects have all of its fields. A list says nothing about its items."""
    if isinstance(value, Mapping):
        return object_of({name: like(each) for name, each in value.items()})
    if isinstance(value, bool):
        return {"type": "boolean"}
    names = {str: "string", int: "integer", float: "number", list: "array", tuple: "array"}
    return {"type": names[type(value)]} if type(value) in names else ANYTHING
